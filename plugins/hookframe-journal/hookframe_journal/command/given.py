"""What the verbs of ``hookframe audit`` share: the journal that they are given, and what they say of unusable lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from hookframe.audit import Problem, printable

__all__ = ["FINDINGS", "FINE", "INTEGRITY", "as_json", "journal", "report"]

_Verb = TypeVar("_Verb", bound=Callable[..., Any])

FINE, FINDINGS, INTEGRITY = 0, 1, 3
"""Exit codes, as those of the other verbs."""


def journal(verb: _Verb) -> _Verb:
    """Add the argument ``JOURNAL``, an existing directory or segment."""
    return click.argument("journal", type=click.Path(exists=True, path_type=Path))(verb)


def as_json(verb: _Verb) -> _Verb:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(verb)


def report(problems: Sequence[Problem], limit: int = 5) -> int:
    """Say on standard error which lines could not be used, and return the exit code that follows."""
    for problem in problems[:limit]:
        click.echo(f"note: {printable(str(problem))}", err=True)
    if len(problems) > limit:
        click.echo(f"note: and {len(problems) - limit} more lines: hookframe audit verify says what happened", err=True)
    return INTEGRITY if problems else FINE
