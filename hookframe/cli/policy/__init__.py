"""``hookframe policy``: the policy in force, and work on one. One file for each verb."""

from __future__ import annotations

import click

from hookframe.cli.lazy import LazyVerbs

__all__ = ["command"]

_VERBS = {
    "check": "Find mistakes, and rules that can never match or never matter.",
    "diff": "Show how two policies differ.",
    "schema": "Print the JSON Schema of policy files, for editors.",
    "show": "Show the policy in force, and where each part of it comes from.",
    "test": "Run a policy's own tests, and see what they miss.",
}


@click.group("policy", cls=LazyVerbs, verbs=_VERBS, package=__name__)
def command() -> None:
    """See which policy is in force, and work on one.

    A FILE is read as the policy of an organisation; write LAYER=FILE for another layer: machine, organisation, project,
    user or session.

    Exit codes: 0 fine, 1 findings, 2 usage or a policy that cannot be read.
    """
