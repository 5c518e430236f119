"""``hookframe plugins``: what is installed, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from hookframe.host.loading import Selection, survey
from hookframe.host.manager import PluginManager
from hookframe.host.record import PluginRecord, PluginState

__all__ = ["command"]

_COLOURS = {PluginState.LOADED: "green", PluginState.FOUND: "green", PluginState.DISABLED: "dim"}


@click.group("plugins")
def command() -> None:
    """See which plugins are installed, and what became of them."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.option("--load", is_flag=True, help="Load the plugins first, as the first hook would, and show the outcome.")
@click.option(
    "--no-plugin", "without", metavar="NAME", multiple=True, help="Leave a distribution out; can be repeated."
)
def list_plugins(as_json: bool, load: bool, without: tuple[str, ...]) -> None:
    """List every installed plugin with its state and the reason for it.

    Nothing is imported unless --load is given.
    """
    records: Sequence[PluginRecord]
    if load:
        records = PluginManager.installed(without=without).records
    else:
        records = [record for _, record in survey(Selection.from_environment(without=without))]
    if as_json:
        click.echo(json.dumps([asdict(record) for record in records], indent=2))
    elif records:
        _print_table(records)
    else:
        click.echo("No plugins are installed. A package with an entry point in the group hookframe.plugins is one.")


def _print_table(records: Sequence[PluginRecord]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Plugin", "Version", "State", "Entry point", "Why"):
        table.add_column(heading, overflow="fold")
    for record in records:
        style = _COLOURS.get(record.state, "red")
        specs = f" ({', '.join(record.specs)})" if record.specs else ""
        table.add_row(
            record.name,
            record.version or "?",
            f"[{style}]{record.state}[/]",
            record.entry_point or "",
            f"{record.reason}{specs}",
        )
    Console().print(table)
