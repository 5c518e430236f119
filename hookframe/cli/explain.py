"""``hookframe explain``: why a request is allowed, warned of or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import click

from hookframe.cli.plugins import asking
from hookframe.cli.policy.given import day, policy_option, read_policy
from hookframe.policy.cases import read_facts
from hookframe.policy.engine import today as utc_today
from hookframe.policy.facts import RecordedFacts
from hookframe.policy.policy import Policy
from hookframe.policy.tracing import Explanation, RuleTrace, explain
from hookframe.policy.vocabulary import PLACES, Place, Value

__all__ = ["command", "print_explanation"]

_COLOURS = {"deny": "red", "skip": "yellow", "warn": "yellow", "audit": "bright_black", "allow": "green"}


@click.command("explain")
@click.argument("facts", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--at", "place", type=click.Choice(PLACES), default="add", help="Where the request is made; add if not given."
)
@policy_option
@click.option("--all", "show_all", is_flag=True, help="Show rules that do not match as well, and why not.")
@day
@asking.as_json
@click.pass_context
def command(
    ctx: click.Context,
    facts: Path,
    place: Place,
    policies: tuple[str, ...],
    show_all: bool,
    today: date | None,
    as_json: bool,
) -> None:
    """Explain what the policy says to a request with these FACTS, a TOML file.

    Exits with 1 if it is refused.
    """
    policy, known = read_policy(policies), read_facts(facts)
    explanation = explain(policy, place, RecordedFacts(known), today or utc_today())
    if as_json:
        click.echo(json.dumps(as_facts(explanation, known), indent=2))
    else:
        print_explanation(policy, explanation, show_all=show_all)
    ctx.exit(asking.FINDINGS if explanation.ruling.verdict in ("deny", "skip") else asking.FINE)


def print_explanation(policy: Policy, explanation: Explanation, *, show_all: bool) -> None:
    """Print the verdict, then each rule with its part in it."""
    ruling = explanation.ruling
    asked = len(policy.rules_at(ruling.place))
    verdict = click.style(ruling.verdict, bold=True, fg=_COLOURS[ruling.verdict])
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
