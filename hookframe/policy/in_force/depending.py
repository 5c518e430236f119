"""Which plugins the rules of a layer depend on: those that provide the families and the canonical names that rules speak of."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.utils import canonicalize_name

from hookframe.host.installed.rules import PluginNeed
from hookframe.policy.files.reading import Layer
from hookframe.policy.files.rules import Rule
from hookframe.policy.language.conditions import Comparison, Condition, Not
from hookframe.policy.language.vocabulary import POINT_FACTS, Mode

__all__ = ["FAMILIES", "needs_of"]

FAMILIES = "hookframe-families"
"""The distribution whose plugin provides the canonical names, and the families, of most models."""
_OF_MODULES = ("hook_in", "hook_out")
"""What the points of modules are called, without any family."""


def needs_of(layer: Layer) -> Iterator[PluginNeed]:
    """What ``layer`` names in ``families.require``; without that, what rules of the machine or the organisation speak of."""
    named = layer.document.families.require
    if named is not None:
        origin = layer.origin(("families", "require"))
        yield from (
            PluginNeed(canonicalize_name(name), f"the policy's rules depend on it ({origin})") for name in named
        )
    elif layer.kind.managed:
        for rule in layer.rules:
            subject = _subject(rule.condition)
            if subject is not None and _is_asked(rule):
                yield PluginNeed(FAMILIES, f"rule {rule.name} speaks of {subject} ({rule.origin})")
                return


def _is_asked(rule: Rule) -> bool:
    return any(rule.mode_at(place) is not Mode.OFF for place in rule.places)


def _subject(condition: Condition) -> str | None:
    """What in a condition only a plugin can know: families, or a canonical name; None if there is no such thing."""
    if isinstance(condition, Comparison):
        if condition.path == "family":
            return "families"
        values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        canonical = (str(value) for value in values if condition.path in POINT_FACTS and _is_canonical(str(value)))
        return next((f"the canonical name {name!r}" for name in canonical), None)
    parts = (condition.part,) if isinstance(condition, Not) else condition.parts
    return next((subject for subject in map(_subject, parts) if subject is not None), None)


def _is_canonical(pattern: str) -> bool:
    return any(part.startswith("hook_") and part not in _OF_MODULES for part in pattern.split("."))
