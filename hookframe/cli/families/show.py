"""``hookframe families show``: all that is known of one family."""

from __future__ import annotations

from collections.abc import Iterator

import click

from hookframe.instrumenting.choosing import family_named
from hookframe.instrumenting.family import Family
from hookframe.instrumenting.place import At

__all__ = ["command"]


@click.command("show")
@click.argument("name")
def command(name: str) -> None:
    """Show the names, gates and checks of the family called NAME."""
    for line in _lines(family_named(name)):
        click.echo(line)


def _lines(family: Family) -> Iterator[str]:
    yield click.style(family.name, bold=True) + f"  recognised by {', '.join(family.model_types) or 'its plugin'}"
    yield from _section("names", [f"{name}  {_places(family.names[name])}" for name in family.names])
    yield from _section("gates", [f"{gate.rule}  {', '.join(gate.points)}: {gate.remedy}" for gate in family.gates])
    checks = [f"{type(check).__name__}  {', '.join(check.names)}" for check in family.checks]
    yield from _section("checks", checks)


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"\n{title}"
        yield from (f"  {line}" for line in lines)


def _places(places: object) -> str:
    alternatives = (places,) if isinstance(places, At) else tuple(places)  # type: ignore[arg-type]  # a sequence of places
    return " or ".join(_place(at) for at in alternatives)


def _place(at: At) -> str:
    where = (
        f"{at.inside} inside of {at.module}" if at.inside else f"{'into' if at.side == 'in' else 'out of'} {at.module}"
    )
    parts = [
        where,
        None if at.item is None else f"item {at.item}",
        None if at.part is None else f"part {at.part.index + 1} of {at.part.count}",
        None if at.heads is None else f"heads by {at.heads}",
        None if at.when is None else f"if {at.when[0]} is {at.when[1]}",
    ]
    return ", ".join(part for part in parts if part)
