"""``hookframe plugins list``: one line for each plugin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from hookframe.cli import output
from hookframe.cli.plugins import asking
from hookframe.cli.table import print_table
from hookframe.host.installed.plugin_choice import PluginChoice
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.installed.rules import LoadingRules
from hookframe.host.installed.survey import survey

__all__ = ["command"]

_COLOURS = {
    PluginState.LOADED: "green",
    PluginState.FOUND: "green",
    PluginState.DISABLED: "bright_black",
    PluginState.BLOCKED: "yellow",
}


@click.command("list")
@output.as_json
@click.option("--load", is_flag=True, help="Load the plugins first, as the first hook would, and show the outcome.")
@asking.no_plugin
@asking.rules
@click.pass_context
def command(ctx: click.Context, as_json: bool, load: bool, without: tuple[str, ...], rules: LoadingRules) -> None:
    """List every installed plugin with its state and the reason for it.

    Nothing is imported unless --load is given.
    """
    records = _loaded(without, rules) if load else _surveyed(without, rules)
    if as_json:
        output.print_json([asdict(record) for record in records])
    elif records:
        _print_table(records)
    else:
        click.echo("No plugins are installed. A package with an entry point in the group hookframe.plugins is one.")
    ctx.exit(asking.exit_code(records, rules.require))


def _loaded(without: Sequence[str], rules: LoadingRules) -> Sequence[PluginRecord]:
    from hookframe.cli.in_force import installed_plugins

    return installed_plugins(rules, without).records


def _surveyed(without: Sequence[str], rules: LoadingRules) -> Sequence[PluginRecord]:
    found = survey(PluginChoice.from_environment(without=without), rules)
    for fault in found.faults:
        click.echo(f"note: {fault}", err=True)
    return found.records


def _print_table(records: Sequence[PluginRecord]) -> None:
    rows = [_row(record) for record in records]
    colours = {str(state): _COLOURS.get(state, "red") for state in PluginState}
    print_table(("Plugin", "Version", "State", "Entry point", "Why"), rows, limits={"Entry point": 28}, colours=colours)


def _row(record: PluginRecord) -> tuple[str, ...]:
    specs = f" ({', '.join(record.specs)})" if record.specs else ""
    place = record.entry_point or ""
    return record.name, record.version or "?", str(record.state), place, f"{record.reason}{specs}"
