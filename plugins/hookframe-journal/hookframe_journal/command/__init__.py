"""``hookframe audit``: journals, read and verified. One file for each verb."""

from __future__ import annotations

import click

from hookframe.cli import LazyVerbs

__all__ = ["command"]

_VERBS = {
    "export": "Write a journal as CSV, JSON or SARIF.",
    "key": "Make a pair of keys, for journals with a forward-secure MAC.",
    "show": "List the decisions of a journal, or show one.",
    "tail": "Show the last records of a journal, and go on as it grows.",
    "verify": "Find out whether a journal is as it was written.",
}


@click.group("audit", cls=LazyVerbs, verbs=_VERBS, package=__name__)
def command() -> None:
    """Read journals of what was decided, and find out whether they were changed.

    Exit codes: 0 fine, 1 a journal without its end, 2 usage or a file that cannot be read, 3 a journal that is not as it
    was written.
    """
