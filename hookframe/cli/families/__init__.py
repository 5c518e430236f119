"""``hookframe families``: what the installed plugins know of model families. One file for each verb."""

from __future__ import annotations

import click

from hookframe.cli.lazy import LazyVerbs

__all__ = ["command"]

_VERBS = {
    "check": "Try a family's names and checks on a model.",
    "list": "List the families that plugins provide.",
    "show": "Show the names, gates and checks of one family.",
}


@click.group("families", cls=LazyVerbs, verbs=_VERBS, package=__name__)
def command() -> None:
    """See what the installed plugins know of model families.

    Exit codes: 0 fine, 1 a check does not hold, 2 usage, or a model that cannot be loaded.
    """
