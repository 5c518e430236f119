"""``hookframe plugins why``: every rule that applied to one plugin, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click
from packaging.utils import canonicalize_name

from hookframe.cli import output
from hookframe.cli.plugins import asking
from hookframe.host.installed.judging import RuleOutcome
from hookframe.host.installed.plugin_choice import PluginChoice
from hookframe.host.installed.record import PluginRecord
from hookframe.host.installed.rules import LoadingRules
from hookframe.host.installed.survey import survey

__all__ = ["command"]


@click.command("why")
@click.argument("name")
@output.as_json
@asking.no_plugin
@asking.rules
@click.pass_context
def command(ctx: click.Context, name: str, as_json: bool, without: tuple[str, ...], rules: LoadingRules) -> None:
    """Explain what decides whether the plugin NAME loads: every rule that applies to it, in order.

    Nothing is imported; 'hookframe plugins list --load' shows what an import would reveal.
    """
    found = survey(PluginChoice.from_environment(without=without), rules, thorough=True)
    records = [record for record in found.records if record.distribution == canonicalize_name(name)]
    if not records:
        raise asking.unknown_plugin(name, [record.name for record in found.records])
    if as_json:
        explained = [{**asdict(r), "steps": [asdict(step) for step in found.steps(r)]} for r in records]
        output.print_json(explained)
    else:
        for record in records:
            _print(record, found.steps(record))
    ctx.exit(asking.exit_code(records, rules.require))


def _print(record: PluginRecord, steps: Sequence[RuleOutcome]) -> None:
    place = f" ({record.entry_point})" if record.entry_point else ""
    click.echo(f"{record.name} {record.version or ''}{place}".replace("  ", " "))
    decided = False
    for step in steps:
        mark = "ok" if step.state is None else str(step.state)
        click.echo(f"  {mark:13}{step.name:14}{step.text}")
        if step.state is not None and not decided:
            decided = True
            click.echo(f"  {'':13}{'':14}this decides; to change it: {step.repair}")
    click.echo(f"  {record.state}: {record.reason}")
