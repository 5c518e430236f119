"""Conditions on facts: comparisons, and all, any and not of them. Frozen values; nothing is evaluated but these."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

from packaging.version import InvalidVersion, Version

from hookframe.admission.globs import Glob
from hookframe.policy.language.vocabulary import GIVEN_AND_TRUE, Scalar, Value, fact

__all__ = ["All", "Assumed", "Comparison", "Condition", "FactSource", "Not", "OneOf", "as_toml"]


class FactSource(Protocol):
    """Where conditions look facts up."""

    def get(self, path: str) -> Value:
        """The fact called ``path``; None if it is absent."""

    def is_unknown(self, path: str) -> bool:
        """True if there may be more to the fact than :meth:`get` says: it cannot be told here."""


@dataclass(frozen=True, slots=True)
class Assumed:
    """The same facts, as if what cannot be told were absent."""

    facts: FactSource

    def get(self, path: str) -> Value:
        """The fact called ``path``; None if it is absent."""
        return self.facts.get(path)

    def is_unknown(self, path: str) -> bool:
        """Nothing is."""
        return False


@dataclass(frozen=True, eq=False)
class Comparison:
    """One fact, compared with a value that the policy gives.

    An absent fact, or an empty list, equals nothing: ``eq``, ``in``, ``glob`` and the orderings do not
    hold for it, and ``ne`` and ``not_in``, which are their opposites, do. Where the fact cannot be told, neither do nor do not.

    Names that a user gave to a point count only where they make the condition of a rule more likely to hold, and that of an
    exception less: not below a ``not``, and not in an exception.

    :ivar operator: one of :data:`~hookframe.policy.language.vocabulary.OPERATORS`.
    :ivar value: a scalar; a tuple of them for ``in``, ``not_in`` and ``glob``.
    """

    path: str
    operator: str
    value: Scalar | tuple[Scalar, ...]

    def holds(self, facts: FactSource, every: bool = False) -> bool | None:
        """True if the fact compares so, None if that cannot be told.

        :param every: of a list of different things, ask that all of them compare so (and that there are some) instead of
            any; and of a point's names, heed only those that no user gave.
        """
        negative = self._negative
        every = every is not negative
        value = facts.get(self._true_path if every else self.path)
        found = value not in (None, ()) if self.operator == "exists" else self._positive(value, every)
        if not found and self._can_be_unknown and facts.is_unknown(self.path):
            return None
        return found is not negative

    @cached_property
    def _identity(self) -> tuple[object, ...]:
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        exact = tuple((isinstance(value, bool), value) for value in values)  # True is not 1 here
        return self.path, self.operator, isinstance(self.value, tuple), exact

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Comparison) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    @cached_property
    def _negative(self) -> bool:
        return self.operator in _OPPOSITES or (self.operator == "exists" and self.value is False)

    @cached_property
    def _true_path(self) -> str:
        return GIVEN_AND_TRUE.get(self.path, self.path)

    @cached_property
    def _can_be_unknown(self) -> bool:
        kind = fact(self.path)
        return kind is not None and kind.doubtful and self.operator != "exists"

    def _positive(self, value: Value, every: bool) -> bool:
        test = self._test
        if not isinstance(value, tuple):
            return value is not None and test(value)
        if every and self._each:
            return bool(value) and all(map(test, value))
        return any(map(test, value))

    @cached_property
    def _each(self) -> bool:
        kind = fact(self.path)
        return kind is not None and kind.each

    @cached_property
    def _test(self) -> Callable[[Scalar], bool]:
        operator = _OPPOSITES.get(self.operator, self.operator)
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        if operator == "glob":
            globs = [Glob(str(pattern)) for pattern in values]
            return lambda value: isinstance(value, str) and any(glob.matches(value) for glob in globs)
        kind = fact(self.path)
        if kind is not None and kind.type == "version":
            return _version_test(operator, values)
        if operator in ("eq", "in"):
            wanted = {(isinstance(value, bool), value) for value in values}  # True is not 1 here
            return lambda value: (isinstance(value, bool), value) in wanted
        order = _ORDERINGS[operator]
        bound = values[0]
        return lambda value: _is_number(value) and order(value, bound)

    def paths(self) -> Iterator[str]:
        """Every fact that is looked at."""
        yield self.path

    def __str__(self) -> str:
        return f"{self.path} {self.operator} {as_toml(self.value)}"


def as_toml(value: Value | tuple[Scalar, ...]) -> str:
    """A value as a policy would write it; ``absent`` if there is none."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if value is None:
        return "absent"
    return str(value).lower() if isinstance(value, bool) else repr(value)


_OPPOSITES = {"ne": "eq", "not_in": "in"}
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": lambda value, bound: value < bound,
    "le": lambda value, bound: value <= bound,
    "gt": lambda value, bound: value > bound,
    "ge": lambda value, bound: value >= bound,
}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _version_test(operator: str, values: tuple[Scalar, ...]) -> Callable[[Scalar], bool]:
    wanted = [Version(str(value)) for value in values]

    def test(value: Scalar) -> bool:
        try:
            version = Version(Version(str(value)).public)  # 2.9.0+cu128 is 2.9.0
        except InvalidVersion:
            return False
        return version in wanted if operator in ("eq", "in") else _ORDERINGS[operator](version, wanted[0])

    return test


@dataclass(frozen=True)
class All:
    """Holds if all of its parts do; with none, always."""

    parts: tuple[Condition, ...] = ()

    def holds(self, facts: FactSource, every: bool = False) -> bool | None:
        """True if all parts hold, False if one does not, else None."""
        held: bool | None = True
        for part in self.parts:  # no generator: it costs as much as a comparison, and this is asked most
            one = part.holds(facts, every)
            if one is False:
                return False
            held = held and one
        return held

    def paths(self) -> Iterator[str]:
        """Every fact that is looked at."""
        for part in self.parts:
            yield from part.paths()

    def __str__(self) -> str:
        return " and ".join(map(_bracketed, self.parts)) if self.parts else "always"


@dataclass(frozen=True)
class OneOf:
    """Holds if any of its parts does; with none, never."""

    parts: tuple[Condition, ...]

    def holds(self, facts: FactSource, every: bool = False) -> bool | None:
        """True if a part holds, False if none does, None if that cannot be told."""
        answers = [part.holds(facts, every) for part in self.parts]
        return True if True in answers else None if None in answers else False

    def paths(self) -> Iterator[str]:
        """Every fact that is looked at."""
        for part in self.parts:
            yield from part.paths()

    def __str__(self) -> str:
        return " or ".join(map(_bracketed, self.parts)) if self.parts else "never"


@dataclass(frozen=True)
class Not:
    """Holds if its part does not."""

    part: Condition

    def holds(self, facts: FactSource, every: bool = False) -> bool | None:
        """True if the part does not hold; what was asked of any thing in a list is asked of all in there."""
        held = self.part.holds(facts, not every)
        return None if held is None else not held

    def paths(self) -> Iterator[str]:
        """Every fact that is looked at."""
        yield from self.part.paths()

    def __str__(self) -> str:
        return f"not ({self.part})"


Condition: TypeAlias = Comparison | All | OneOf | Not


def _bracketed(part: Condition) -> str:
    return f"({part})" if isinstance(part, (All, OneOf)) and len(part.parts) > 1 else str(part)
