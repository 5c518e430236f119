"""``hookframe replay``: what another policy would have decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import click

from hookframe.audit.entries import Problem
from hookframe.audit.reading import read_journal
from hookframe.cli import output
from hookframe.cli.policy.given import day, read_policy
from hookframe.cli.table import print_table
from hookframe.policy.tools.replay import Change, Replayed, replay

__all__ = ["command"]

_SHOWN = 20


@click.command("replay")
@click.argument("journal", type=click.Path(exists=True, path_type=Path))
@click.option("--policy", "policies", metavar="FILE", multiple=True, required=True, help="The policy to decide under.")
@click.option("--all", "show_all", is_flag=True, help="Show every change, not just the first of each kind.")
@day
@output.as_json
@click.pass_context
def command(
    ctx: click.Context, journal: Path, policies: tuple[str, ...], show_all: bool, today: date | None, as_json: bool
) -> None:
    """Decide anew, under another policy, what JOURNAL recorded: a directory of segments, or one of them.

    Each decision is made as on the day on which it was recorded, unless --today says another. What plugins objected to
    stays as it was. Exits with 1 if something would change.
    """
    policy = read_policy(policies)
    problems: list[Problem] = []
    replayed = list(replay(read_journal(journal, problems), policy, today))
    changes = [change for one in replayed for change in one.changes]
    for problem in problems:
        click.echo(f"left out: {problem}", err=True)
    output.print_json(_facts(replayed, changes)) if as_json else _print(replayed, changes, show_all)
    ctx.exit(output.FINDINGS if changes else output.FINE)


def _print(replayed: Sequence[Replayed], changes: Sequence[Change], show_all: bool) -> None:
    kinds = Counter((change.before, change.after, " ".join(change.rules)) for change in changes)
    shown: Counter[tuple[str, str, str]] = Counter()
    rows = []
    for change in changes:
        kind = (change.before, change.after, " ".join(change.rules))
        shown[kind] += 1
        if show_all or shown[kind] <= max(1, _SHOWN // len(kinds)):
            rows.append((change.decision, change.before, change.after, f"{change.request.subject} [{kind[2]}]"))
    if rows:
        print_table(("Decision", "Was", "Becomes", "What"), rows, limits={"Decision": 60}, colours=output.COLOURS)
        click.echo()
    for (before, after, rules), count in kinds.most_common():
        click.echo(f"{count} requests: {before} becomes {after} [{rules}]")
    guessed = sum(one.guessed for one in replayed)
    if guessed:
        click.echo(f"{guessed} decisions were recorded without facts of the model: rules about it did not match")
    left_out = Counter(name for one in replayed for name in one.unknown)
    for name, count in sorted(left_out.items()):
        click.echo(f"{count} decisions cannot be made anew: {name} was left out of the journal")
    requests = sum(len(one.entry.requests) for one in replayed)
    click.echo(f"{len(replayed)} decisions about {requests} requests, {len(changes)} would be other ones")


def _facts(replayed: Sequence[Replayed], changes: Sequence[Change]) -> dict[str, Any]:
    return {
        "decisions": len(replayed),
        "requests": sum(len(one.entry.requests) for one in replayed),
        "without_facts": sum(one.guessed for one in replayed),
        "undecided": sum(bool(one.unknown) for one in replayed),
        "changes": [
            {
                "decision": change.decision,
                "request": change.request.subject,
                "before": change.before,
                "after": change.after,
                "rules": list(change.rules),
            }
            for change in changes
        ],
    }
