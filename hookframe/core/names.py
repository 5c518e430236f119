"""From a names filter to the hook points it means, in the model's order."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hookframe.core.describing import describe
from hookframe.core.selection import Selected, SweptName
from hookframe.errors import InvalidNamesFilter, NotAHookPoint, UnknownHookPoint

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.types import NamesFilter

__all__ = ["Selected", "SweptName", "select", "unknown_point"]


def select(
    names_filter: NamesFilter,
    points: Mapping[str, HookPoint],
    modules: Mapping[str, Any] | None = None,
    exact: Mapping[str, Selected] | None = None,
) -> list[Selected]:
    """The points that ``names_filter`` means, in the order of ``points``, each point once.

    :param points: name → hook point.
    :param modules: name → module, for a better error when a name is no hook point's.
    :param exact: name → what is found for a name that a user wrote, if that is known.
    :raises UnknownHookPoint: if a name is not there; with the nearest names that are.
    :raises NotAHookPoint: if a name is that of another kind of module.
    :raises InvalidNamesFilter: if it is none of a name, names, a predicate and None.
    """
    if isinstance(names_filter, str):
        written = not isinstance(names_filter, SweptName)
        return [Selected(str(names_filter), _find(names_filter, points, modules), written)]
    if names_filter is None:
        return _once(Selected(name, point, False) for name, point in points.items())
    if callable(names_filter):
        wanted: Callable[[str], bool] = names_filter
        return _once([Selected(name, point, False) for name, point in points.items() if wanted(name)])
    if isinstance(names_filter, Collection) and all(issubclass(kind, str) for kind in set(map(type, names_filter))):
        return _named(names_filter, points, modules, exact)
    raise InvalidNamesFilter(
        f"names_filter {describe(names_filter)} is none of a name, a list of names, a predicate on names, and None"
    )


def _named(
    names: Collection[str],
    points: Mapping[str, HookPoint],
    modules: Mapping[str, Any] | None,
    exact: Mapping[str, Selected] | None,
) -> list[Selected]:
    swept = {name for name in names if isinstance(name, SweptName)} if SweptName in set(map(type, names)) else set()
    wanted = set(names)
    if not wanted <= points.keys():
        for name in names:
            _find(name, points, modules)
    if exact is not None and not swept:
        return [exact[name] for name in points if name in wanted]
    return [Selected(name, point, name not in swept) for name, point in points.items() if name in wanted]


def _once(selection: Iterable[Selected]) -> list[Selected]:
    seen: set[int] = set()
    return [s for s in selection if id(s.point) not in seen and not seen.add(id(s.point))]  # type: ignore[func-returns-value]  # add() returns None, which is the point


def _find(name: str, points: Mapping[str, HookPoint], modules: Mapping[str, Any] | None) -> HookPoint:
    try:
        return points[name]
    except KeyError:
        if modules is not None and name in modules:
            kind = type(modules[name]).__name__
            raise NotAHookPoint(
                f"{name!r} is a {kind}, not a hook point ({_near(name, points, 'hook points nearby: ')})"
            ) from None
        raise unknown_point(name, points) from None


_WILD = frozenset("*?[")


def unknown_point(name: str, points: Collection[str]) -> UnknownHookPoint:
    """The error for a name that is not there."""
    hint = _near(name, points, "did you mean ")
    if not _WILD.isdisjoint(name):
        hint += "; a glob is none here: give capture() one, or this a list of names, or a predicate"
    return UnknownHookPoint(f"the model has no hook point {name!r}: {hint} (all names: model.hook_dict)")


def _near(name: str, points: Collection[str], lead: str) -> str:
    inside = [other for other in points if other.startswith(f"{name}.")][:3]
    near = inside or difflib.get_close_matches(name, list(points), n=3, cutoff=0.5)
    return lead + ", ".join(map(repr, near)) if near else f"it has {len(points)} hook points, none of a similar name"
