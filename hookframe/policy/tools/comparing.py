"""How two policies differ: rules, exceptions and values that only one has, or that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hookframe.policy.files.rules import Exemption, Rule
from hookframe.policy.in_force.policy import Policy

__all__ = ["PolicyDifference", "differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDifference:
    """One thing that is not the same.

    :ivar kind: rule, exception, value, loading, requirement or fact.
    :ivar name: of the thing.
    :ivar part: of the thing; empty if all of it is new or gone.
    :ivar before: as the first policy has it, None if it has not.
    :ivar after: as the second policy has it, None if it has not.
    """

    kind: str
    name: str
    part: str = ""
    before: str | None = None
    after: str | None = None


def differences(before: Policy, after: Policy) -> list[PolicyDifference]:
    """What is not the same in ``after``."""
    return [
        *_things("rule", before.rules, after.rules, _rule_parts),
        *_things("exception", before.exemptions, after.exemptions, _exemption_parts),
        *_mapped("value", _values(before), _values(after)),
        *_mapped("loading", _loading(before), _loading(after)),
        *_mapped("requirement", _requirements(before), _requirements(after)),
        *_mapped("fact", {"env": _set(before.environment)}, {"env": _set(after.environment)}),
    ]


def _things(kind: str, before: Sequence[Any], after: Sequence[Any], parts: Any) -> Iterator[PolicyDifference]:
    old, new = {thing.name: parts(thing) for thing in before}, {thing.name: parts(thing) for thing in after}
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            yield PolicyDifference(kind=kind, name=name, before=_summary(old[name]))
        elif name not in old:
            yield PolicyDifference(kind=kind, name=name, after=_summary(new[name]))
        else:
            for part, value in old[name].items():
                if new[name][part] != value:
                    yield PolicyDifference(kind=kind, name=name, part=part, before=value, after=new[name][part])


def _summary(parts: Mapping[str, str]) -> str:
    return "; ".join(f"{part}: {value}" for part, value in parts.items() if part in ("at", "action", "rule", "when"))


def _rule_parts(rule: Rule) -> dict[str, str]:
    return {
        "at": ", ".join(f"{place} ({mode})" for place, mode in rule.modes),
        "action": str(rule.action),
        "when": str(rule.condition),
        "reason": rule.reason,
        "remedy": rule.remedy,
        "delegates": ", ".join(layer.label for layer in rule.delegates) or "nobody",
        "max_days": str(rule.max_days),
        "on_end": "remove" if rule.removes else "as the exception says",
    }


def _exemption_parts(exemption: Exemption) -> dict[str, str]:
    return {
        "rule": exemption.rule,
        "when": str(exemption.condition),
        "until": str(exemption.until),
        "owner": exemption.owner,
        "reason": exemption.reason,
        "ticket": str(exemption.ticket),
        "on_end": "remove" if exemption.removes else "report",
    }


def _values(policy: Policy) -> dict[str, str]:
    return {path: repr(value.value) for path, value in policy.values.items()}


def _loading(policy: Policy) -> dict[str, str]:
    rules = policy.loading
    pins = {f"pin of {pin.plugin}": f"{pin.version} {pin.digest} {_set(pin.origins or ())}" for pin in rules.pins}
    return {
        "allow": "all" if rules.allow is None else _set(rules.allow),
        "deny": _set(rules.deny),
        "require": _set(rules.require),
        "strict": str(rules.strict),
        **pins,
    }


def _set(names: Any) -> str:
    return ", ".join(sorted(map(str, names))) or "none"


def _requirements(policy: Policy) -> dict[str, str]:
    return {requirement.distribution: requirement.versions for requirement in policy.requirements}


def _mapped(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[PolicyDifference]:
    for name in [*before, *(name for name in after if name not in before)]:
        if before.get(name) != after.get(name):
            yield PolicyDifference(kind=kind, name=name, before=before.get(name), after=after.get(name))
