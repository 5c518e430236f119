"""Recognising models, and layers of models, by the modules that they consist of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hookframe.instrumenting.family import Family
from hookframe.instrumenting.naming import Layout
from hookframe.instrumenting.place import At

__all__ = ["fits", "holds", "in_a_layer"]

_TELLING = 4  # so many different modules, or more, are no coincidence


def fits(layout: Layout, family: Family) -> int:
    """How many modules the family knows in a model, if the model has them all; 0 if not, or if they are too few to tell."""
    groups = _groups(family)
    there = all(any(layout.find(path.replace("{i}", "0")) is not None for path in group) for group in groups)
    return len(groups) if there and len(groups) >= _TELLING else 0


def holds(name: str, paths: Iterable[str], modules: Mapping[str, Any]) -> bool:
    """True if the module called ``name`` has a module at each of ``paths``."""
    start = f"{name}." if name else ""
    return all(f"{start}{path}" in modules for path in paths)


def in_a_layer(family: Family) -> tuple[str, ...]:
    """The paths of what every layer of the family has; none if they are too few to tell a layer by."""
    start = f"{family.anchor}.{{i}}."
    single = [group[0] for group in _groups(family) if len(group) == 1]
    found = {path.removeprefix(start) for path in single if path.startswith(start)}
    return tuple(sorted(found)) if len(found) >= _TELLING else ()


def _groups(family: Family) -> frozenset[tuple[str, ...]]:
    """For each name that every model of the family has, the paths of which one is there."""
    found = set()
    for places in family.names.values():
        alternatives = (places,) if isinstance(places, At) else tuple(places)
        if not any(at.when for at in alternatives):
            found.add(tuple(at.module for at in alternatives))
    return frozenset(found)
