"""``hookframe plugins``: what is installed, and what became of it. One file for each verb."""

from __future__ import annotations

import importlib

import click

__all__ = ["command"]

_VERBS = {
    "list": "List every plugin with its state and the reason for it.",
    "lock": "Pin the installed plugins in a file, or check them against it.",
    "new": "Write a new plugin: a distribution with package, tests and all.",
    "show": "Show all that is known of one plugin.",
    "verify": "Compare the files of plugins with what was installed.",
    "why": "Explain the state of one plugin, rule by rule.",
}


class _Verbs(click.Group):
    """Imports a verb when it is called for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        verb: click.Command = importlib.import_module(f"hookframe.cli.plugins.{cmd_name}").command
        return verb

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_VERBS.items()))


@click.group("plugins", cls=_Verbs)
def command() -> None:
    """See which plugins are installed, and what became of them.

    Exit codes: 0 fine, 1 findings, 2 usage or a file that cannot be read, 3 files that are not those that were
    installed or pinned, 4 a plugin failed.
    """
