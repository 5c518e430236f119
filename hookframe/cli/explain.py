"""``hookframe explain``: why a request is allowed, warned of or refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeAlias

import click

from hookframe.audit.entries import DecisionEntry
from hookframe.audit.reading import read_journal
from hookframe.cli import output
from hookframe.cli.policy.given import day, policy_option, read_policy
from hookframe.policy.in_force.engine import today as utc_today
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.facts import RecordedFacts, RequestFacts, place_of
from hookframe.policy.language.vocabulary import PLACES, Place, Value
from hookframe.policy.tools.tracing import Explanation, RuleTrace, explain

__all__ = ["command", "find_decision", "print_explanation"]

Asked: TypeAlias = tuple[str, Explanation, Mapping[str, Value]]


@click.command("explain")
@click.argument("what", metavar="FACTS_OR_DECISION")
@click.option(
    "--journal",
    type=click.Path(exists=True, path_type=Path),
    help="Explain a decision of this journal, named by its id.",
)
@click.option("--at", "place", type=click.Choice(PLACES), default="add", help="Where a request with FACTS is made.")
@policy_option
@click.option("--all", "show_all", is_flag=True, help="Show rules that do not match as well, and why not.")
@day
@output.as_json
@click.pass_context
def command(
    ctx: click.Context,
    what: str,
    journal: Path | None,
    place: Place,
    policies: tuple[str, ...],
    show_all: bool,
    today: date | None,
    as_json: bool,
) -> None:
    """Explain what the policy says to a request with these FACTS, a TOML file, or to a recorded DECISION.

    A recorded decision is shown as it was, and each of its requests is decided anew. Exits with 1 if a request is refused.
    """
    policy = read_policy(policies)
    if journal is None:
        from hookframe.policy.tools.cases import read_facts

        known = read_facts(Path(what))
        asked: list[Asked] = [(what, explain(policy, place, RecordedFacts(known), today or utc_today()), known)]
    else:
        asked = _recorded(policy, find_decision(journal, what), today, quiet=as_json)
    if as_json:
        output.print_json([as_facts(explanation, known) for _, explanation, known in asked])
    else:
        for subject, explanation, _ in asked:
            if len(asked) > 1:
                click.echo(click.style(f"\n{subject}", bold=True))
            print_explanation(policy, explanation, show_all=show_all)
    refused = any(explanation.ruling.verdict in ("deny", "skip") for _, explanation, _ in asked)
    ctx.exit(output.FINDINGS if refused else output.FINE)


def find_decision(journal: Path, name: str) -> DecisionEntry:
    """The decision of a journal with this id, or with an id that ends so.

    :raises click.UsageError: if there is none, or more than one.
    """
    decisions = [entry for entry in read_journal(journal) if isinstance(entry, DecisionEntry)]
    found = [entry for entry in decisions if entry.id == name or entry.id.endswith(f":{name}")]
    if len(found) != 1:
        hint = "see 'hookframe audit show'" if not found else f"name one of {[entry.id for entry in found[:5]]}"
        raise click.UsageError(f"{len(found)} decisions of {len(decisions)} in {journal} are called {name!r}: {hint}")
    return found[0]


def _recorded(policy: Policy, entry: DecisionEntry, today: date | None, *, quiet: bool) -> list[Asked]:
    if not quiet:
        click.echo(f"decision {entry.id}, as it was recorded: {entry.decision.describe()}")
        click.echo(f"\nunder the policy {policy.digest}:")
    day_of_record = today or datetime.fromtimestamp(entry.clock, UTC).date()
    about = RecordedFacts(entry.facts or {})
    asked: list[Asked] = []
    for request in entry.requests:
        facts = RequestFacts(request, about)
        explanation = explain(policy, place_of(request), facts, day_of_record)
        asked.append((request.subject, explanation, about.values | facts.written()))
    return asked


def print_explanation(policy: Policy, explanation: Explanation, *, show_all: bool) -> None:
    """Print the verdict, then each rule with its part in it."""
    ruling = explanation.ruling
    asked = len(policy.rules_at(ruling.place))
    verdict = click.style(ruling.verdict, bold=True, fg=output.COLOURS[ruling.verdict])
    click.echo(f"{verdict} at {ruling.place}: {len(ruling.matches)} of {asked} rules match")
    for trace in explanation.traces:
        if trace.match is not None or show_all:
            _print_trace(explanation, trace)


def _print_trace(explanation: Explanation, trace: RuleTrace) -> None:
    rule, match = trace.rule, trace.match
    click.echo(f"  {click.style(rule.name, bold=True)} {explanation.role_of(trace)}")
    click.echo(f"    written in {rule.origin}")
    if match is not None:
        if match.action is not rule.action:
            click.echo(f"    its action is {rule.action}, its mode {match.mode}")
        click.echo(f"    when {rule.condition}")
        click.echo(f"    because {rule.reason}")
        click.echo(f"    remedy: {rule.remedy}")
    for reason in trace.reasons:
        click.echo(f"    {reason}")


def as_facts(explanation: Explanation, facts: Mapping[str, Value]) -> dict[str, Any]:
    """The explanation as plain data."""
    return {
        "verdict": explanation.ruling.verdict,
        "place": explanation.ruling.place,
        "facts": facts,
        "rules": [
            {
                "rule": trace.rule.name,
                "role": explanation.role_of(trace),
                "action": None if trace.match is None else str(trace.match.action),
                "mode": str(trace.rule.mode_at(explanation.ruling.place)),
                "exception": None
                if trace.match is None or trace.match.exemption is None
                else trace.match.exemption.name,
                "when": str(trace.rule.condition),
                "reason": trace.rule.reason,
                "remedy": trace.rule.remedy,
                "file": trace.rule.origin.file,
                "line": trace.rule.origin.line,
                "notes": list(trace.reasons),
            }
            for trace in explanation.traces
        ],
    }
