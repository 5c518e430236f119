"""``hookframe plugins``: what is installed, and what became of it. One file for each verb."""

from __future__ import annotations

import click

from hookframe.cli.lazy import LazyVerbs

__all__ = ["command"]

_VERBS = {
    "list": "List every plugin with its state and the reason for it.",
    "lock": "Pin the installed plugins in a file, or check them against it.",
    "new": "Write a new plugin: a distribution with package, tests and all.",
    "show": "Show all that is known of one plugin.",
    "verify": "Compare the files of plugins with what was installed.",
    "why": "Explain the state of one plugin, rule by rule.",
}


@click.group("plugins", cls=LazyVerbs, verbs=_VERBS, package=__name__)
def command() -> None:
    """See which plugins are installed, and what became of them.

    Exit codes: 0 fine, 1 findings, 2 usage or a file that cannot be read, 3 files that are not those that were
    installed or pinned, 4 a plugin failed.
    """
