"""``hookframe plugins show``: what one plugin is, implements and was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click
from packaging.utils import canonicalize_name

from hookframe.cli import output
from hookframe.cli.in_force import installed_plugins
from hookframe.cli.plugins import asking
from hookframe.host.installed.distribution import PluginDistribution
from hookframe.host.installed.inventory import take_inventory
from hookframe.host.installed.metadata import UNREADABLE, headers_of
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.installed.rules import LoadingRules
from hookframe.host.running.manager import PluginManager

__all__ = ["command"]

_FIELDS = ("Summary", "Author", "Author-email", "License-Expression", "License", "Home-page", "Requires-Python")


@click.command("show")
@click.argument("name")
@output.as_json
@asking.no_plugin
@asking.rules
@click.pass_context
def command(ctx: click.Context, name: str, as_json: bool, without: tuple[str, ...], rules: LoadingRules) -> None:
    """Show the plugin NAME: its metadata, the specs it implements and where, and its options.

    For that, this plugin is imported if it may load, and no other.
    """
    manager = installed_plugins(rules, without, only=name)
    records = [record for record in manager.records if record.distribution == canonicalize_name(name)]
    distributions = take_inventory().distributions
    if not records:
        raise asking.unknown_plugin(name, [distribution.name for distribution in distributions])
    metadata = {d.path: _metadata(d) for d in distributions if d.name == canonicalize_name(name)}
    shown = [_facts(manager, record, metadata.get(record.path or "", {})) for record in records]
    if as_json:
        output.print_json(shown, default=str)
    else:
        for facts in shown:
            _print(facts)
    ctx.exit(asking.exit_code(records, rules.require))


def _metadata(distribution: PluginDistribution) -> dict[str, Any]:
    try:
        headers = headers_of(distribution.source)
        stated = {field: headers[field] for field in _FIELDS if headers[field]}
    except UNREADABLE:
        stated = {}
    return {
        **stated,
        "origin": str(distribution.origin),
        "installer": distribution.installer,
        "metadata": distribution.path,
        "plugin API": distribution.api,
        "requires hookframe": list(distribution.requires_hookframe),
    }


def _facts(manager: PluginManager, record: PluginRecord, metadata: Mapping[str, Any]) -> dict[str, Any]:
    at_work = record.state in (PluginState.LOADED, PluginState.TRIPPED)
    places = manager.places_of(record.name) if at_work else ()
    return {
        "name": record.name,
        "version": record.version,
        "entry_point": record.entry_point,
        "state": str(record.state),
        "reason": record.reason,
        "metadata": metadata,
        "specs": [asdict(place) for place in places],
        "options": dict(manager.options_of(record.name)),
    }


def _print(facts: Mapping[str, Any]) -> None:
    click.echo(f"{facts['name']} {facts['version'] or ''}: {facts['state']} ({facts['reason']})")
    _print_pairs("Metadata", [("entry point", facts["entry_point"]), *facts["metadata"].items()])
    places = [(place["spec"], f"{place['file']}:{place['line']}") for place in facts["specs"]]
    _print_pairs("Implements", places)
    _print_pairs("Options", list(facts["options"].items()))


def _print_pairs(heading: str, pairs: Sequence[tuple[str, Any]]) -> None:
    click.echo(heading)
    for key, value in pairs:
        text = ", ".join(value) if isinstance(value, list) else value
        click.echo(f"  {key:20}{text if text not in (None, '') else '-'}")
    if not pairs:
        click.echo("  none")
