"""What follows from a condition: whether it can hold at all, and whether another one holds whenever it does.

Both questions are answered on the safe side: "impossible" and "implied" are certain, everything else is left open.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

from packaging.version import Version

from hookframe.policy.language.conditions import All, Comparison, Condition, Not, OneOf
from hookframe.policy.language.vocabulary import GIVEN_AND_TRUE, Scalar, fact

__all__ = ["conjuncts", "implies", "why_impossible"]


def conjuncts(condition: Condition) -> tuple[Condition, ...]:
    """The parts that all have to hold, nested ones included."""
    if isinstance(condition, All):
        return tuple(inner for part in condition.parts for inner in conjuncts(part))
    return (condition,)


def why_impossible(condition: Condition) -> str | None:
    """Why the condition can never hold; None if that cannot be said."""
    parts = conjuncts(condition)
    for part in parts:
        if isinstance(part, OneOf) and all(why_impossible(inner) for inner in part.parts):
            return f"none of its alternatives can hold: {part}"
        if isinstance(part, Not) and part.part == All():
            return "it asks for the opposite of something that always holds"
    for one, other in combinations(parts, 2):
        if isinstance(one, Comparison) and isinstance(other, Comparison) and _contradict(one, other):
            return f"{one} and {other} cannot both hold"
        if (Not(one) == other or Not(other) == one) and not any(map(_is_each, one.paths())):
            return f"{one} and its opposite cannot both hold"
    return None


def implies(one: Condition, other: Condition) -> bool:
    """True if ``other`` certainly holds whenever ``one`` does."""
    return all(any(_part_implies(mine, theirs) for mine in conjuncts(one)) for theirs in conjuncts(other))


def _part_implies(one: Condition, other: Condition) -> bool:
    if one == other:
        return True
    if isinstance(one, OneOf):
        return all(implies(part, other) for part in one.parts)
    if isinstance(other, OneOf):
        return any(implies(one, part) for part in other.parts)
    if isinstance(one, Not) and isinstance(other, Not):
        return implies(other.part, one.part)
    if isinstance(one, Comparison) and isinstance(other, Comparison):
        return _comparison_implies(one, other)
    return False


def _values(comparison: Comparison) -> tuple[Scalar, ...]:
    return comparison.value if isinstance(comparison.value, tuple) else (comparison.value,)


def _is_single(path: str) -> bool:
    """True if the fact has one value at a time."""
    kind = fact(path)
    return kind is not None and kind.type != "names"


def _is_each(path: str) -> bool:
    """True if the fact is several things, some of which may fit where others do not."""
    kind = fact(path)
    return kind is not None and (kind.each or path in GIVEN_AND_TRUE)  # below a not, given names do not count


def _exact(values: Iterable[Scalar]) -> set[tuple[bool, Scalar]]:
    return {(isinstance(value, bool), value) for value in values}


def _comparison_implies(one: Comparison, other: Comparison) -> bool:
    if one.path != other.path:
        return False
    mine, theirs = _exact(_values(one)), _exact(_values(other))
    kinds = (_KIND[one.operator], _KIND[other.operator])
    if kinds in (("is", "is"), ("glob", "glob")):
        return mine <= theirs
    if kinds == ("is not", "is not"):
        return mine >= theirs
    return _is_single(one.path) and _single_implies(one, other, kinds)


_KIND = {
    "eq": "is",
    "in": "is",
    "ne": "is not",
    "not_in": "is not",
    "lt": "below",
    "le": "below",
    "gt": "above",
    "ge": "above",
    "glob": "glob",
    "exists": "exists",
}


def _single_implies(one: Comparison, other: Comparison, kinds: tuple[str, str]) -> bool:
    """The same for a fact that has one value at a time."""
    if kinds[1] == "exists":
        return other.value is True and kinds[0] not in ("is not", "exists")
    if kinds[0] == "is":
        return all(other.holds(_One(other.path, value)) for value in _values(one))
    return kinds[0] == kinds[1] and kinds[0] in ("below", "above") and _bound_implies(one, other)


def _bound_implies(one: Comparison, other: Comparison) -> bool:
    mine, theirs = _number(one), _number(other)
    if mine == theirs:
        return one.operator == other.operator or other.operator.endswith("e")
    return bool(mine > theirs) if _KIND[one.operator] == "above" else bool(mine < theirs)


def _number(comparison: Comparison) -> Any:
    kind = fact(comparison.path)
    return Version(str(comparison.value)) if kind is not None and kind.type == "version" else comparison.value


def _contradict(one: Comparison, other: Comparison) -> bool:
    if one.path != other.path or not _is_single(one.path):
        return False
    for first, second in ((one, other), (other, one)):
        if first.operator in ("eq", "in"):
            return not any(second.holds(_One(second.path, value)) for value in _values(first))
        if first.operator == "exists" and first.value is False and second.operator not in ("exists", "ne", "not_in"):
            return True
    if {_KIND[one.operator], _KIND[other.operator]} == {"below", "above"}:
        low, high = (one, other) if _KIND[one.operator] == "above" else (other, one)
        bottom, top = _number(low), _number(high)
        return bool(bottom > top) or (bottom == top and (low.operator, high.operator) != ("ge", "le"))
    return False


class _One:
    """A world in which one fact has one value."""

    def __init__(self, path: str, value: Scalar) -> None:
        self.path = path
        self.value = value

    def get(self, path: str) -> Scalar | None:
        """The value, if it is the fact that is asked for."""
        return self.value if path == self.path else None

    def is_unknown(self, path: str) -> bool:
        """Nothing is."""
        return False
