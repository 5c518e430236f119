"""``hookframe audit show``: the decisions of a journal, or one of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from hookframe.audit import (
    DecisionEntry,
    Entry,
    Problem,
    plain_of,
    points_of,
    printable,
    read_journal,
    route_of,
    time_of,
)
from hookframe.cli import print_table
from hookframe_journal.command import given
from hookframe_journal.command.rendering import COLOURS, brief, detail, reasons, verdict

__all__ = ["command"]


@click.command("show")
@given.journal
@click.argument("decision", required=False)
@click.option("--denied", is_flag=True, help="Only decisions that refused.")
@click.option("--rule", metavar="NAME", help="Only decisions to which this rule objected.")
@given.as_json
@click.pass_context
def command(
    ctx: click.Context, journal: Path, decision: str | None, denied: bool, rule: str | None, as_json: bool
) -> None:
    """List the decisions in JOURNAL, a directory or one segment; or show all of one DECISION, by its id or number.

    It shows what the files say; whether they are as they were written, 'hookframe audit verify' finds out.
    """
    problems: list[Problem] = []
    found = [
        entry
        for entry in _decisions(read_journal(journal, problems))
        if (decision is None or decision in (entry.id, str(entry.decision.number)))
        and not (denied and entry.decision.allowed)
        and (rule is None or rule in {objection.rule for objection in entry.objections})
    ]
    if decision is not None and not found:
        raise click.BadParameter(
            f"the journal has no decision {decision!r}: list them without it", param_hint="DECISION"
        )
    if as_json:
        click.echo(json.dumps([plain_of(entry) for entry in found], indent=2))
    elif decision is not None:
        for entry in found:
            click.echo("\n".join(detail(entry)))
    else:
        _print_table(found)
    ctx.exit(given.report(problems))


def _decisions(entries: Iterable[Entry]) -> Iterator[DecisionEntry]:
    return (entry for entry in entries if isinstance(entry, DecisionEntry))


def _print_table(found: list[DecisionEntry]) -> None:
    for segment in dict.fromkeys(entry.segment for entry in found):
        click.echo(f"Segment {printable(segment)}")
        rows = [_row(entry) for entry in found if entry.segment == segment]
        headings = ("Number", "Time", "Verdict", "Route", "Points", "Why")
        print_table(headings, rows, limits={"Points": 40}, colours=COLOURS)
    if not found:
        click.echo("No such decision was recorded.")


def _row(entry: DecisionEntry) -> tuple[str, ...]:
    points = brief(points_of(entry.requests))
    return str(entry.decision.number), time_of(entry.time), verdict(entry), route_of(entry), points, reasons(entry)
