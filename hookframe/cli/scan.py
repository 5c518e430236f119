"""``hookframe scan``: every hook on a model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hookframe.audit.plain import printable
from hookframe.cli import output
from hookframe.cli.points_of import load_object

if TYPE_CHECKING:
    from hookframe.inspecting.report import FoundHook, ScanReport

__all__ = ["command"]

_COLOURS = {"never-fired": "yellow", "excepted": "yellow"}


@click.command("scan")
@click.argument("target", metavar="MODULE:OBJECT")
@click.option("--all", "show_all", is_flag=True, help="Show hooks with nothing remarkable as well.")
@output.as_json
@click.pass_context
def command(ctx: click.Context, target: str, show_all: bool, as_json: bool) -> None:
    """See every hook on the model MODULE:OBJECT, or on what that returns when it is called.

    Shows torch hooks that no admission has seen, global ones, replaced forwards, hooks that are left over, that would be
    refused now, and that never fired, with file and line of the function. Exits with 1 if it finds any.
    """
    report = _scanned(target)
    if as_json:
        output.print_json(_facts(report))
    else:
        shown = report.hooks if show_all else report.findings
        click.echo(
            f"{report.model}: {len(report.hooks)} hooks on {report.modules} modules, {report.points} hook points"
        )
        for hook in shown:
            _print(hook)
    ctx.exit(output.FINDINGS if report.findings else output.FINE)


def _scanned(target: str) -> ScanReport:
    from torch import nn

    from hookframe.inspecting.scan import scan

    value = load_object(target)
    if not isinstance(value, nn.Module) and callable(value):
        value = value()
    if not isinstance(value, nn.Module):
        raise click.UsageError(f"{target!r} is a {type(value).__name__}: name a torch module, or what makes one")
    return scan(value)


def _facts(report: ScanReport) -> dict[str, Any]:
    return asdict(report) | {"findings": len(report.findings)}


def _print(hook: FoundHook) -> None:
    click.echo(printable(str(hook)))
    for remark in hook.remarks:
        trait = click.style(str(remark.trait), fg=_COLOURS.get(remark.trait, "red"))
        click.echo(f"  {trait}: {printable(remark.message)}")
