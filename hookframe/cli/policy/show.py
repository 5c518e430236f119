"""``hookframe policy show``: what is in force, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from hookframe.cli import output
from hookframe.cli.policy.given import read_policy
from hookframe.policy.files.rules import Exemption, Rule
from hookframe.policy.in_force.policy import Effective, Policy

__all__ = ["command"]


@click.command("show")
@click.argument("files", nargs=-1)
@click.option(
    "--provenance", is_flag=True, help="Say where each value comes from, and which other values it overrides."
)
@output.as_json
def command(files: tuple[str, ...], provenance: bool, as_json: bool) -> None:
    """Show the policy of FILES together, or the one in force if none is given."""
    policy = read_policy(files)
    if as_json:
        output.print_json(_facts(policy))
        return
    if not policy.layers:
        click.echo("No policy is in force: no layer has a file.")
        return
    for layer in policy.layers:
        click.echo(
            f"{layer.kind.label:<13} {layer.file}" + (f"  ({layer.document.name})" if layer.document.name else "")
        )
    click.echo(f"{'digest':<13} {policy.digest}")
    _print_rules(policy, provenance)
    _print_exemptions(policy)
    _print_values(policy, provenance)


def _print_rules(policy: Policy, provenance: bool) -> None:
    for rule in policy.rules:
        at = ", ".join(place if mode == "enforce" else f"{place} ({mode})" for place, mode in rule.modes)
        action = click.style(str(rule.action), fg=output.COLOURS[str(rule.action)])
        click.echo(f"\n{click.style(rule.name, bold=True)}: {action} at {at}")
        click.echo(f"    when {rule.condition}")
        click.echo(f"    because {rule.reason}; {rule.remedy}")
        if rule.delegates:
            delegates = " and ".join(layer.label for layer in rule.delegates)
            click.echo(f"    {delegates} may except from it, for {rule.max_days} days at most")
        if provenance:
            click.echo(f"    from {rule.origin}")


def _print_exemptions(policy: Policy) -> None:
    for exemption in policy.exemptions:
        ticket = f" ({exemption.ticket})" if exemption.ticket else ""
        head = f"exception {exemption.name} from {exemption.rule}"
        click.echo(f"\n{click.style(head, bold=True)}: until {exemption.until}, {exemption.owner}{ticket}")
        click.echo(f"    when {exemption.condition}")
        click.echo(f"    because {exemption.reason}")
        click.echo(f"    from {exemption.origin}")


def _print_values(policy: Policy, provenance: bool) -> None:
    lines = [*_values(policy, provenance), *_plugins(policy)]
    if lines:
        click.echo()
        click.echo("\n".join(lines))


def _values(policy: Policy, provenance: bool) -> Iterator[str]:
    for value in policy.values.values():
        yield f"{value.path} = {_toml(value.value)}"
        if provenance:
            yield f"    from {value.origin}: {value.why}" + (f" ({value.locked_by})" if value.locked_by else "")
            yield from (f"    instead of {_toml(other)} from {origin}" for other, origin in value.beat)


def _plugins(policy: Policy) -> Iterator[str]:
    rules = policy.loading
    if rules.allow is not None:
        yield f"plugins that may load: {', '.join(sorted(rules.allow)) or 'none'}"
    for verb, names in (("may not load", rules.deny), ("have to be at work", rules.require)):
        if names:
            yield f"plugins that {verb}: {', '.join(sorted(names))}"
    if rules.strict:
        yield "plugins load only from verified bytes (strict)"
    for pin in rules.pins:
        parts = [pin.version, pin.digest, " or ".join(sorted(pin.origins or ()))]
        yield f"plugin {pin.plugin} is pinned to {' '.join(part for part in parts if part)}"
    for requirement in policy.requirements:
        yield f"requires {requirement.distribution}{requirement.versions} ({requirement.origin})"


def _toml(value: Any) -> str:
    return json.dumps(value, default=str)


def _facts(policy: Policy) -> dict[str, Any]:
    return {
        "digest": policy.digest,
        "layers": [{"layer": layer.kind.label, "file": layer.file, "digest": layer.digest} for layer in policy.layers],
        "rules": [_rule_facts(rule) for rule in policy.rules],
        "exceptions": [_exemption_facts(exemption) for exemption in policy.exemptions],
        "values": {path: _value_facts(value) for path, value in policy.values.items()},
    }


def _rule_facts(rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "at": dict(rule.modes),
        "action": str(rule.action),
        "when": str(rule.condition),
        "reason": rule.reason,
        "remedy": rule.remedy,
        "delegates": [layer.label for layer in rule.delegates],
        "file": rule.origin.file,
        "line": rule.origin.line,
    }


def _exemption_facts(exemption: Exemption) -> dict[str, Any]:
    return {
        "exception": exemption.name,
        "rule": exemption.rule,
        "when": str(exemption.condition),
        "until": str(exemption.until),
        "owner": exemption.owner,
        "reason": exemption.reason,
        "ticket": exemption.ticket,
        "file": exemption.origin.file,
        "line": exemption.origin.line,
    }


def _value_facts(value: Effective) -> dict[str, Any]:
    return {
        "value": value.value,
        "from": str(value.origin),
        "why": value.why,
        "locked_by": None if value.locked_by is None else str(value.locked_by),
        "beat": [{"value": other, "from": str(origin)} for other, origin in value.beat],
    }
