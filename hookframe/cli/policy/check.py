"""``hookframe policy check``: is it valid, and does everything in it matter?"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date

import click

from hookframe.admission.family import ModelFamily
from hookframe.cli import output
from hookframe.cli.points_of import points_of
from hookframe.cli.policy.given import day, read_policy
from hookframe.host.running.manager import PluginManager
from hookframe.policy.in_force.engine import today as utc_today
from hookframe.policy.in_force.journalling import JOURNAL
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.tools.analysis import analyse

__all__ = ["command"]


@click.command("check")
@click.argument("files", nargs=-1)
@click.option("--against", metavar="MODEL_OR_FACTS", help="Look for points in this model as well.")
@day
@output.as_json
@click.pass_context
def command(ctx: click.Context, files: tuple[str, ...], against: str | None, today: date | None, as_json: bool) -> None:
    """Check policy FILES, or the policy in force if none is given.

    Mistakes end with exit code 2; what can never match, never matters or does not hold, with 1: families that no
    plugin that rules depend on knows, kinds of device that there are not, and points of no family and not of the model that is
    given. MODEL is module:object, FACTS a TOML file that lists points under request.points.
    """
    policy = read_policy(files)
    points = None if against is None else points_of(against)
    notes = analyse(policy, today or utc_today(), points, _families(policy))
    if as_json:
        output.print_json([asdict(note) for note in notes])
    else:
        for note in notes:
            click.echo(str(note))
        for need in policy.loading.needs:
            click.echo(f"needs {need.plugin}: {need.why}")
        layers = ", ".join(f"{layer.kind.label} {layer.file}" for layer in policy.layers) or "no policy is in force"
        count = f"{len(policy.rules)} rules, {len(policy.exemptions)} exceptions, {len(notes)} findings"
        click.echo(f"{layers}: {count}")
    ctx.exit(output.FINDINGS if notes else output.FINE)


def _families(policy: Policy) -> list[ModelFamily]:
    """What the plugins that the rules depend on know; no other plugin is imported."""
    needs = tuple(need for need in policy.loading.needs if need.plugin != JOURNAL)
    manager = PluginManager()
    manager.enforce(replace(policy.loading, require=frozenset(), needs=needs))
    return manager.families()
