"""The policy that a verb works on: the files that it is given, or the one in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from hookframe.cli.in_force import in_force
from hookframe.errors import PolicyError
from hookframe.policy.files.mistakes import Mistake
from hookframe.policy.files.reading import Layer, read_layer_file
from hookframe.policy.in_force.merging import merge
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.vocabulary import LayerKind

__all__ = ["day", "policy_option", "read_policy"]

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def read_policy(files: Sequence[str | Path]) -> Policy:
    """The policy of these files together, each ``FILE`` or ``LAYER=FILE``; the one in force if there are none.

    :raises PolicyError: if one cannot be read; the mistakes of all of them are in its text.
    """
    if not files:
        return in_force()
    layers: list[Layer] = []
    mistakes: list[Mistake] = []
    for file in map(str, files):
        label, equals, path = file.partition("=")
        kinds = {kind.label: kind for kind in LayerKind}
        if equals and label not in kinds and not Path(file).exists():
            mistakes.append(Mistake(file, 0, "", f"{label!r} is no layer: write one of {[*kinds]} before '='"))
            continue
        kind, name = (kinds[label], path) if equals and label in kinds else (LayerKind.ORGANISATION, file)
        try:
            layers.append(read_layer_file(Path(name), kind))
        except PolicyError as error:
            mistakes += error.mistakes
    if mistakes:
        raise PolicyError(mistakes)
    return merge(layers)


def policy_option(verb: _Verb) -> _Verb:
    """Add ``--policy FILE``, which gives the verb the names of the files."""
    text = "Use this policy instead of the one in force; can be repeated, as LAYER=FILE for other layers."
    return click.option("--policy", "policies", metavar="FILE", multiple=True, help=text)(verb)


def day(verb: _Verb) -> _Verb:
    """Add ``--today DATE``, which gives the verb a date, or None."""

    def read(ctx: click.Context, parameter: click.Parameter, value: datetime | None) -> date | None:
        return None if value is None else value.date()

    text = "Decide as on this day, YYYY-MM-DD; today (UTC) if it is not given."
    kind = click.DateTime(formats=["%Y-%m-%d"])
    return click.option("--today", "today", type=kind, callback=read, help=text)(verb)
