"""Which rules can be about a point, found by parts of its names, so that a thousand rules need not be asked about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from hookframe.policy.files.rules import Rule
from hookframe.policy.language.conditions import Comparison
from hookframe.policy.language.vocabulary import GIVEN_AND_TRUE

__all__ = ["RuleIndex"]

_WILD = frozenset("*?[")
_REMEMBERED = 4096
_Key: TypeAlias = tuple[bool, str]
"""True and the last part of a name, or False and its first part."""


class RuleIndex:
    """Rules by the first or the last part of the names that they are about.

    It leaves out a rule only if its condition cannot hold for a point with certain names: it asks for a glob, all of it has
    to hold, and no name fits.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._always: list[int] = []
        self._by_part: dict[_Key, list[int]] = {}
        self._known: dict[frozenset[_Key], tuple[Rule, ...]] = {}
        for place, rule in enumerate(rules):
            keys = _keys_of(rule)
            for listed in [self._always] if keys is None else [self._by_part.setdefault(key, []) for key in keys]:
                listed.append(place)

    def about(self, names: Iterable[str]) -> tuple[Rule, ...]:
        """The rules that can be about a point with these names, in their order."""
        parts = frozenset(key for name in names for key in _ends(name) if key in self._by_part)
        found = self._known.get(parts)
        if found is None:
            places = {*self._always, *(place for part in parts for place in self._by_part[part])}
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[parts] = tuple(self._rules[place] for place in sorted(places))
        return found


def _ends(name: str) -> tuple[_Key, _Key]:
    return (False, name.partition(".")[0]), (True, name.rpartition(".")[2])


def _keys_of(rule: Rule) -> set[_Key] | None:
    """Parts of names without one of which the rule cannot match; None if there is no saying."""
    for part in rule.condition.parts:
        if isinstance(part, Comparison) and part.path in GIVEN_AND_TRUE and part.operator == "glob":
            patterns = part.value if isinstance(part.value, tuple) else (part.value,)
            keys = [_key_of(str(pattern)) for pattern in patterns]
            if None not in keys:
                return {key for key in keys if key is not None}
    return None


def _key_of(pattern: str) -> _Key | None:
    first, last = _ends(pattern)
    return next((key for key in (last, first) if _WILD.isdisjoint(key[1])), None)
