"""Which places of a family's models carry one tensor: what the family declares, and what its checks say."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Generic, TypeAlias, TypeVar

from hookframe.instrumenting.checks import Applies
from hookframe.instrumenting.family import Family
from hookframe.instrumenting.naming import Layout

__all__ = ["Classes", "equal_names"]

P = TypeVar("P")
_Pairs: TypeAlias = Iterator[tuple[str, str, bool]]


class Classes(Generic[P]):
    """Sets of places that carry one tensor, and within these the sets of places at which an edit is the same edit."""

    def __init__(self, pairs: Iterable[tuple[P, P, bool]]) -> None:
        """Make the sets.

        :param pairs: two places that carry one tensor, and whether an edit at one is an edit at the other.
        """
        self._by_tensor: dict[P, list[P]] = {}
        self._by_edit: dict[P, list[P]] = {}
        for one, other, edits in pairs:
            _join(self._by_tensor, one, other)
            if edits:
                _join(self._by_edit, one, other)

    def of(self, place: P) -> Iterator[tuple[P, bool]]:
        """The other places with the tensor of ``place``, and whether an edit there is an edit here."""
        same = self._by_edit.get(place, ())
        yield from ((other, other in same) for other in self._by_tensor.get(place, ()) if other != place)


def _join(sets: dict[P, list[P]], one: P, other: P) -> None:
    joined = [*dict.fromkeys([*sets.get(one, [one]), *sets.get(other, [other])])]
    sets.update(dict.fromkeys(joined, joined))


def equal_names(family: Family, layout: Layout, known: Container[str]) -> _Pairs:
    """Pairs of names in ``known`` with one tensor, and whether an edit at one is an edit at the other.

    A check says that a module is applied to a value: then that value goes into it, and others may read it as well.
    """
    for group in family.equal:
        yield from _pairs(group, True, layout, known)
    for check in family.checks:
        if layout.applies(check.when):
            if getattr(check, "says_equal", False):
                yield from _pairs(check.names, True, layout, known)
            elif isinstance(check, Applies) and check.module is not None:
                yield from _pairs((check.names[1], f"{check.module}.hook_in"), False, layout, known)


def _pairs(group: Sequence[str], edits: bool, layout: Layout, known: Container[str]) -> _Pairs:
    for names, _ in layout.instances(group, None, known):
        yield from ((names[0], other, edits) for other in names[1:])
