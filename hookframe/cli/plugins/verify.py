"""``hookframe plugins verify``: files against RECORD."""

from __future__ import annotations

from dataclasses import asdict

import click
from packaging.utils import canonicalize_name

from hookframe.cli import output
from hookframe.cli.plugins import asking
from hookframe.host.installed.distribution import PluginDistribution
from hookframe.host.installed.integrity import FileCheck, check_files
from hookframe.host.installed.inventory import take_inventory

__all__ = ["command"]


@click.command("verify")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@output.as_json
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Compare the files of installed plugins with RECORD: all plugins, or those named.

    Shows files that changed, that are missing, and files in a plugin's own packages that were not installed with it.
    A plugin that cannot be verified is a finding. Nothing is imported.
    """
    checks = [(distribution, check_files(distribution)) for distribution in _chosen(names)]
    if as_json:
        output.print_json([_facts(*each) for each in checks])
    else:
        for distribution, check in checks:
            _print(distribution, check)
        if not checks:
            click.echo("No plugins are installed.")
    codes = {_code(check) for _, check in checks}
    ctx.exit(max(codes, default=output.FINE))


def _chosen(names: tuple[str, ...]) -> list[PluginDistribution]:
    installed = take_inventory().distributions
    for name in names:
        if canonicalize_name(name) not in {distribution.name for distribution in installed}:
            raise asking.unknown_plugin(name, [distribution.name for distribution in installed])
    wanted = set(map(canonicalize_name, names))
    return [distribution for distribution in installed if not wanted or distribution.name in wanted]


def _code(check: FileCheck) -> int:
    if check.impossible is not None:
        return output.FINDINGS
    return output.FINE if check.intact else output.INTEGRITY


def _facts(distribution: PluginDistribution, check: FileCheck) -> dict[str, object]:
    where = {"name": distribution.name, "version": distribution.version, "path": distribution.path}
    return {**where, "intact": check.intact, **asdict(check)}


def _print(distribution: PluginDistribution, check: FileCheck) -> None:
    if check.intact or check.impossible is not None:
        click.echo(f"{distribution.name} {distribution.version}: {check.describe()}")
        return
    click.echo(f"{distribution.name} {distribution.version}: its files are not those that were installed")
    for kind, files in check.findings.items():
        for file in files:
            click.echo(f"  {kind:10}{file}")
