"""``hookframe can``: which points may be hooked, and what says no."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from hookframe.admission.globs import Glob
from hookframe.admission.request import FunctionInfo, HookRequest
from hookframe.cli import output
from hookframe.cli.in_force import in_force
from hookframe.cli.points_of import is_facts, load_model, load_object, points_in
from hookframe.cli.policy.given import day, policy_option, read_policy
from hookframe.cli.table import print_table
from hookframe.policy.in_force.engine import today as utc_today
from hookframe.policy.in_force.found import Found
from hookframe.policy.language.vocabulary import Value
from hookframe.policy.tools.asking import Answer, ask_facts, ask_model

if TYPE_CHECKING:
    from hookframe.host.running.manager import PluginManager

__all__ = ["command"]


@click.command("can")
@click.argument("target", metavar="MODEL_OR_FACTS")
@click.option("--points", default="**", show_default=True, help="A glob on point names.")
@click.option("--direction", type=click.Choice(["fwd", "bwd"]), default="fwd", show_default=True)
@click.option("--effect", type=click.Choice(["read", "edit"]), default="edit", show_default=True)
@click.option("--permanent", is_flag=True, help="Ask about permanent hooks.")
@click.option("--function", metavar="MODULE:OBJECT", help="Ask about this hook function.")
@policy_option
@day
@output.as_json
@click.pass_context
def command(
    ctx: click.Context,
    target: str,
    points: str,
    direction: Literal["fwd", "bwd"],
    effect: Literal["read", "edit"],
    permanent: bool,
    function: str | None,
    policies: tuple[str, ...],
    today: date | None,
    as_json: bool,
) -> None:
    """See for each point whether it may be hooked, and what refuses it.

    MODEL is module:object; the model's own check, the installed plugins and the policy are asked, and nothing is
    attached. FACTS is a TOML file that lists the points under request.points; only the policy is asked. Exits with 1 if
    a point is refused.
    """
    if is_facts(target):
        asked: dict[str, Value] = {
            "request.direction": direction,
            "request.effect": effect,
            "request.permanent": permanent,
            "request.route": "add_hook",
        }
        from hookframe.policy.tools.cases import read_facts

        facts = asked | read_facts(Path(target))
        chosen = _chosen(points_in(facts), points, target)
        answers = ask_facts(read_policy(policies), chosen, facts, today or utc_today())
    else:
        info = (
            FunctionInfo(module="__main__", qualname="?")
            if function is None
            else FunctionInfo.of(load_object(function))
        )
        request = HookRequest(
            index=0,
            point=None,
            function=info,
            direction=direction,
            effect=effect,
            permanent=permanent,
            route="add_hook",
            lasting=True,
        )
        answers = _asked_of_model(target, request, points, policies)
    _show(answers, as_json)
    ctx.exit(output.FINDINGS if any(answer.verdict in ("deny", "skip") for answer in answers) else output.FINE)


def _chosen(points: Sequence[str], glob: str, target: str) -> list[str]:
    if not points:
        raise click.UsageError(f"{target} names no points: list them under request.points")
    chosen = [point for point in points if Glob(glob).matches(point)]
    if not chosen:
        raise click.UsageError(f"{glob!r} matches none of the {len(points)} points of {target}")
    return chosen


def _asked_of_model(target: str, request: HookRequest, points: str, policies: Sequence[str]) -> list[Answer]:
    from hookframe.host.running.using import use_plugins
    from hookframe.inspecting.planned import planned_requests

    with use_plugins(
        _manager(policies)
    ):  # what instruments a model here finds the families that the policy's plugins know
        model = load_model(target)
    return ask_model(
        _manager(policies), model, planned_requests(model, _chosen(list(model.hook_dict), points, target), request)
    )


def _manager(policies: Sequence[str]) -> PluginManager:
    from hookframe.policy.in_force.governing import plugins_under

    layers = read_policy(policies).layers if policies else in_force().layers
    return plugins_under(Found(layers=layers))


def _show(answers: Sequence[Answer], as_json: bool) -> None:
    if as_json:
        output.print_json([asdict(answer) for answer in answers])
        return
    numbers: dict[tuple[str, str], int] = {}
    for answer in answers:
        for reason in answer.reasons:
            numbers.setdefault(reason, len(numbers) + 1)
    rows = [(a.point, a.verdict, " ".join(f"[{numbers[reason]}]" for reason in a.reasons)) for a in answers]
    print_table(("Point", "Verdict", "Why"), rows, limits={"Point": 60}, colours=output.COLOURS)
    click.echo()
    for (by, why), number in numbers.items():
        click.echo(f"[{number}] {why}\n    by {by}")
    counts = Counter(answer.verdict for answer in answers)
    click.echo(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
