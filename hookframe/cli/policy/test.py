"""``hookframe policy test``: a policy's own tests, and what they miss."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import click

from hookframe.cli import output
from hookframe.cli.policy.given import day, policy_option, read_policy
from hookframe.policy.in_force.engine import today as utc_today
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.tools.cases import CaseFile, Outcome, read_cases, run_cases
from hookframe.policy.tools.mutants import Mutant, Uncovered, survivors, uncovered

__all__ = ["command"]


@click.command("test")
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@policy_option
@click.option("--coverage", is_flag=True, help="Show the conditions that no case saw hold, or saw fail.")
@click.option(
    "--mutate", is_flag=True, help="Change the policy in small ways, and show the changes that no case notices."
)
@day
@output.as_json
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[Path, ...],
    policies: tuple[str, ...],
    coverage: bool,
    mutate: bool,
    today: date | None,
    as_json: bool,
) -> None:
    """Run the cases in FILES: facts in, expected decision and rules out.

    The policy is that of --policy; else the files that the cases name; else the one in force. Exits with 1 if a case
    fails, and with --coverage or --mutate if they miss something.
    """
    day_of_run = today or utc_today()
    report: list[dict[str, Any]] = []
    for file in files:
        cases = read_cases(file)
        policy = _policy(cases, policies)
        outcomes = run_cases(policy, cases.cases, day_of_run)
        facts = {"file": str(file), "cases": len(outcomes), "failed": [_failure(o) for o in outcomes if o.wrong]}
        if coverage:
            sides, missing = uncovered(policy, cases.cases)
            facts |= {"sides": sides, "uncovered": [_uncovered(side) for side in missing]}
        if mutate:
            count, unnoticed = survivors(policy, cases.cases, day_of_run)
            facts |= {"mutants": count, "unnoticed": [_mutant(mutant) for mutant in unnoticed]}
        report.append(facts)
    output.print_json(report) if as_json else _print(report)
    wrong = any(facts["failed"] or facts.get("uncovered") or facts.get("unnoticed") for facts in report)
    ctx.exit(output.FINDINGS if wrong else output.FINE)


def _policy(cases: CaseFile, policies: Sequence[str]) -> Policy:
    return read_policy(policies or [str(path) for path in cases.policies])


def _failure(outcome: Outcome) -> dict[str, Any]:
    case = outcome.case
    rules = [f"{match.rule.name} ({match.action})" for match in outcome.ruling.matches]
    return {"case": case.name, "file": case.file, "line": case.line, "wrong": list(outcome.wrong), "matched": rules}


def _uncovered(side: Uncovered) -> dict[str, Any]:
    return {"name": side.thing.name, "condition": str(side.condition), "never": side.missing}


def _mutant(mutant: Mutant) -> dict[str, Any]:
    return {"name": mutant.thing.name, "origin": str(mutant.thing.origin), "change": mutant.change}


def _print(report: Sequence[dict[str, Any]]) -> None:
    for facts in report:
        for failure in facts["failed"]:
            click.echo(click.style(f"{failure['file']}:{failure['line']}: {failure['case']}", bold=True))
            for line in failure["wrong"]:
                click.echo(click.style(f"  {line}", fg="red"))
            click.echo(f"  matched: {', '.join(failure['matched']) or 'no rule'}")
        passed = facts["cases"] - len(facts["failed"])
        click.echo(f"{facts['file']}: {passed} of {facts['cases']} cases pass")
        if "sides" in facts:
            for side in facts["uncovered"]:
                click.echo(f"  {side['name']}: no case has {side['condition']} {side['never']}")
            click.echo(
                f"  coverage: {facts['sides'] - len(facts['uncovered'])} of {facts['sides']} sides of conditions seen"
            )
        if "mutants" in facts:
            for mutant in facts["unnoticed"]:
                click.echo(f"  unnoticed: {mutant['name']} {mutant['change']} ({mutant['origin']})")
            click.echo(
                f"  mutation: {facts['mutants'] - len(facts['unnoticed'])} of {facts['mutants']} changes noticed"
            )
