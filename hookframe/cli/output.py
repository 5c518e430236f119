"""What every verb of the command shares: exit codes, ``--json``, and the colours of verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["COLOURS", "FAILED", "FINDINGS", "FINE", "INTEGRITY", "as_json", "print_json"]

_Verb = TypeVar("_Verb", bound=Callable[..., Any])

FINE, FINDINGS, INTEGRITY, FAILED = 0, 1, 3, 4
COLOURS = {"deny": "red", "skip": "yellow", "warn": "yellow", "audit": "bright_black", "allow": "green"}


def as_json(verb: _Verb) -> _Verb:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(verb)


def print_json(value: object, default: Callable[[Any], Any] | None = None) -> None:
    """Print plain data as indented JSON; ``default`` gives data for a value that JSON has no form for."""
    click.echo(json.dumps(value, indent=2, default=default))
