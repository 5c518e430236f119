"""``hookframe doctor``: what is in force here, and how much it promises."""

from __future__ import annotations

from collections import Counter

import click

from hookframe.cli import output
from hookframe.host.installed.plugin_choice import PluginChoice
from hookframe.host.installed.record import PluginState
from hookframe.host.installed.required import unfulfilled
from hookframe.host.installed.survey import survey
from hookframe.policy.files.layers import LayerPlaces
from hookframe.policy.in_force.found import read_layers
from hookframe.policy.in_force.refusals import refusals_of
from hookframe.policy.tools.guarantee import Level, guarantee_of

__all__ = ["command"]

_COLOURS = {Level.NONE: "bright_black", Level.ADVISORY: "yellow", Level.MANAGED: "green", Level.ATTESTED: "green"}


@click.command("doctor")
@output.as_json
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Say how much the policy promises on this machine, and why it is not more.

    none: no policy. advisory: the user who runs the code can change the policy. managed: a layer that this user cannot
    write, and plugins whose files were verified. attested: managed, with a required, forward-secure journal.

    Exits with 1 if something refuses every hook.
    """
    found = read_layers(LayerPlaces.standard())
    loading = found.policy.loading if found else None
    surveyed = survey(PluginChoice.from_environment(), loading)
    refusals = [(refusal.message, refusal.remedy) for refusal in (refusals_of(found) if found else ())]
    if loading is not None:
        lacking = unfulfilled(loading.require, surveyed.records, enough=(PluginState.FOUND,))
        refusals += [(f"plugin {record.name} is {record.state}: {record.reason}", record.repair) for record in lacking]
    guarantee = guarantee_of(found, surveyed.verdicts)
    files = [f"{layer.kind.label} {layer.file}" for layer in found.layers]
    needs = loading.needs if loading is not None else ()
    states = Counter(str(record.state) for record in surveyed.records)
    if as_json:
        facts = {
            "level": str(guarantee.level),
            "reasons": list(guarantee.reasons),
            "layers": files,
            "plugins": dict(states),
            "needs": {need.plugin: need.why for need in needs},
            "refusals": [message for message, _ in refusals],
        }
        output.print_json(facts)
    else:
        click.echo(f"guarantee: {click.style(str(guarantee.level), bold=True, fg=_COLOURS[guarantee.level])}")
        for reason in guarantee.reasons:
            click.echo(f"  not higher, since {reason}")
        click.echo(f"policy: {', '.join(files) or 'none'}")
        click.echo(f"plugins: {', '.join(f'{count} {state}' for state, count in sorted(states.items())) or 'none'}")
        for need in needs:
            click.echo(f"needs {need.plugin}: {need.why}")
        for message, remedy in refusals:
            click.echo(click.style("every hook is refused: ", fg="red") + f"{message}; {remedy}")
    ctx.exit(output.FINDINGS if refusals else output.FINE)
