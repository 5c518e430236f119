"""From the tables of a policy file to conditions, with every mistake noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from hookframe.admission.request import Direction, Effect, Route
from hookframe.policy.files.lines import KeyPath
from hookframe.policy.files.mistakes import Mistakes, near, shortened
from hookframe.policy.language.conditions import All, Comparison, Condition, Not, OneOf
from hookframe.policy.language.vocabulary import FACTS, OPERATORS, PLACES, FactKind, Place, Scalar, fact

if TYPE_CHECKING:
    from hookframe.policy.files.schema import SelectorTable

__all__ = ["condition_of"]

_DEEPEST = 8
_CHOICES: dict[str, tuple[str, ...]] = {
    "request.direction": get_args(Direction),
    "request.effect": get_args(Effect),
    "request.route": get_args(Route),
    "request.purpose": ("model", "cache"),
}
_LONGEST_VALUE = 500
_JOINTS = ("all", "any", "not")
_POINT_FACTS: dict[Place, str] = {
    "add": "request.point",
    "cache": "request.points",
    "reset": "request.points",
    "run": "request.never_fired",
}
_SELECTORS: dict[str, tuple[str, str]] = {
    "families": ("family", "in"),
    "routes": ("request.route", "in"),
    "direction": ("request.direction", "eq"),
    "effect": ("request.effect", "eq"),
    "permanent": ("request.permanent", "eq"),
    "functions": ("request.function.name", "glob"),
    "distributions": ("request.function.distribution", "in"),
    "devices": ("device.type", "in"),
}


def condition_of(table: SelectorTable, where: KeyPath, places: Sequence[Place] | None, mistakes: Mistakes) -> All:
    """All that a rule's or an exception's selectors and ``when`` ask for, as one condition.

    :param where: the table's place in the file.
    :param places: where the rule is asked; None if another layer says it.
    :param mistakes: told of everything that is wrong; the condition is then of no use.
    """
    parts: list[Condition] = []
    places = tuple(_POINT_FACTS) if places is None and table.points is not None else places or PLACES
    if table.points is not None:
        parts.append(_points(table, where, places, mistakes))
    elif table.exactly:
        mistakes.add((*where, "exactly"), "is about points, and there are none: give it points, or leave it out")
    for name, (path, operator) in _SELECTORS.items():
        given = getattr(table, name)
        if given is None:
            continue
        value = tuple(given) if isinstance(given, list) else given
        if name == "distributions":
            value = tuple(map(canonicalize_name, value))
        if name == "routes":
            _check_routes(given, (*where, name), mistakes)
        parts.append(_placed(Comparison(path, operator, value), places, (*where, name), mistakes))
    if table.when is not None:
        parts.append(_Reader(places, mistakes).read(table.when, (*where, "when")))
    return All(tuple(parts))


def _points(table: SelectorTable, where: KeyPath, places: Sequence[Place], mistakes: Mistakes) -> Condition:
    patterns = table.points or []
    known = _POINT_FACTS | {"add": "request.point_exactly"} if table.exactly else _POINT_FACTS
    facts = dict.fromkeys(known[place] for place in places if place in known)
    for place in places:
        if place not in _POINT_FACTS:
            mistakes.add(
                (*where, "points"), f"no point is known at {place!r}: leave points out, or {place!r} out of where"
            )
    for index, pattern in enumerate(patterns):
        if "" in pattern.split("."):
            mistakes.add((*where, "points", index), f"{pattern!r} has an empty part: no name has one")
    parts = [Comparison(path, "glob", tuple(patterns)) for path in facts]
    return parts[0] if len(parts) == 1 else OneOf(tuple(parts))


def _check_routes(routes: Sequence[str], where: KeyPath, mistakes: Mistakes) -> None:
    for index, route in enumerate(routes):
        if route not in get_args(Route):
            mistakes.add((*where, index), f"no route is called {route!r}: {near(route, get_args(Route))}")


def _placed(comparison: Comparison, places: Sequence[Place], where: KeyPath, mistakes: Mistakes) -> Comparison:
    kind = fact(comparison.path)
    if kind is not None and not set(places) & set(kind.places):
        mistakes.add(
            where, f"{comparison.path} is known at {_listed(kind.places)}, and the rule is asked at {_listed(places)}"
        )
    return comparison


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


class _Reader:
    """Reads one ``when`` table."""

    def __init__(self, places: Sequence[Place], mistakes: Mistakes) -> None:
        self.places = places
        self.mistakes = mistakes

    def read(self, table: Mapping[str, Any], where: KeyPath, depth: int = 0) -> Condition:
        """The condition that a table says: all of its entries hold."""
        if depth > _DEEPEST:
            self.mistakes.add(where, f"is nested more than {_DEEPEST} deep: split the rule")
            return All()
        parts: list[Condition] = []
        for key, value in table.items():
            if key in _JOINTS:
                parts.append(self._joint(key, value, (*where, key), depth))
            else:
                parts += self._facts((key,), value, (*where, key))
        if not parts:
            self.mistakes.add(where, "is empty, and would always hold: say what it asks for")
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _joint(self, key: str, value: Any, where: KeyPath, depth: int) -> Condition:
        if key == "not":
            if isinstance(value, dict):
                return Not(self.read(value, where, depth + 1))
            self.mistakes.add(where, "takes a table of conditions")
            return All()
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            self.mistakes.add(where, "takes a list of tables with conditions, and at least one")
            return All()
        parts = tuple(self.read(item, (*where, index), depth + 1) for index, item in enumerate(value))
        return parts[0] if len(parts) == 1 else All(parts) if key == "all" else OneOf(parts)

    def _facts(self, keys: tuple[str, ...], value: Any, where: KeyPath) -> list[Condition]:
        """The comparisons below one key, which may be a whole path or the beginning of one."""
        path = ".".join(keys)
        if not isinstance(value, dict):
            return [self._comparison(path, "in" if isinstance(value, list) else "eq", value, where)]
        if not value:
            self.mistakes.add(where, "is an empty table: give a value, or a table of operators")
        found: list[Condition] = []
        for key, inner in value.items():
            if key in OPERATORS and not isinstance(inner, dict) and fact(path) is not None:
                found.append(self._comparison(path, key, inner, (*where, key)))
            elif fact(path) is not None and path in FACTS:
                self.mistakes.add((*where, key), f"no operator is called {key!r}: {near(key, OPERATORS)}")
            else:
                found += self._facts((*keys, key), inner, (*where, key))
        return found

    def _comparison(self, path: str, operator: str, value: Any, where: KeyPath) -> Condition:
        kind = fact(path)
        wrong = self._unknown(path) if kind is None else _mismatch(kind, operator, value)
        if wrong:
            self.mistakes.add(where, wrong)
            return All()
        given = tuple(value) if isinstance(value, list) else value
        return _placed(Comparison(path, operator, given), self.places, where, self.mistakes)

    def _unknown(self, path: str) -> str:
        return f"no fact is called {path!r}: {near(path, FACTS)}"


def _mismatch(kind: FactKind, operator: str, value: Any) -> str | None:
    """What is wrong with comparing a fact of this kind so; None if nothing is."""
    if kind.type not in OPERATORS[operator]:
        fitting = [name for name, types in OPERATORS.items() if kind.type in types]
        return f"{operator!r} does not go with {kind.path}, a {kind.type}: use one of {fitting}"
    many = operator in ("in", "not_in", "glob")
    values = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not many:
        return f"{operator!r} takes a single value: use 'in' for a list"
    if not values:
        return f"{operator!r} of an empty list never holds: give at least one value"
    known = _CHOICES.get(kind.path)
    if known is not None and operator not in ("glob", "exists"):
        odd = next((item for item in values if item not in known), None)
        if odd is not None:
            return f"{kind.path} is never {shortened(odd)}: {near(str(odd), known)}"
    wanted = "flag" if operator == "exists" else "text" if operator == "glob" else kind.type
    return next((wrong for item in values if (wrong := _wrong_value(wanted, operator, item))), None)


def _wrong_value(wanted: str, operator: str, value: Any) -> str | None:
    if not isinstance(value, Scalar) or (isinstance(value, str) and len(value) > _LONGEST_VALUE):
        return f"{shortened(value)} is no string, number or flag that can be compared"
    ordering = operator in ("lt", "le", "gt", "ge")
    is_flag, is_text = isinstance(value, bool), isinstance(value, str)
    fits = {
        "flag": is_flag,
        "text": is_text,
        "names": is_text,
        "number": not is_flag and not is_text,
        "version": is_text,
        "any": not ordering or not (is_flag or is_text),
    }[wanted]
    if not fits:
        return f"{value!r} does not fit: a {'number' if wanted == 'any' else wanted} is compared here"
    if wanted == "version":
        try:
            version = Version(str(value))
        except InvalidVersion:
            return f"{value!r} is no version: write it as '2.9'"
        if version.local:
            return f"{value!r} names a build, and builds are not compared: write {version.public!r}"
    return None
