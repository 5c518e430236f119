"""A group of verbs, each in a file of its own that is imported when the verb is called for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

__all__ = ["LazyVerbs"]


class LazyVerbs(click.Group):
    """A group whose verbs are modules with a ``command``.

    :param verbs: verb → what it does, for the help; the module has the verb's name.
    :param package: the package of the modules.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, str], package: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.verbs = verbs
        self.package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, sorted."""
        return sorted(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, imported now; None if there is none of that name."""
        if cmd_name not in self.verbs:
            return None
        verb: click.Command = importlib.import_module(f"{self.package}.{cmd_name}").command
        return verb

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs with what they do, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self.verbs.items()))
