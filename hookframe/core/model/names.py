"""From a names filter to the hook points that it means, in the model's order."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hookframe.admission.globs import Glob
from hookframe.core.cache.lookup import is_glob
from hookframe.core.values.text import describe
from hookframe.errors import InvalidNamesFilter, NotAHookPoint, UnknownHookPoint

if TYPE_CHECKING:
    from hookframe.core.model.hook_point import HookPoint
    from hookframe.core.values.types import NamesFilter

__all__ = ["Selected", "Selection", "SweptName", "Written", "select", "unknown_point"]


class SweptName(str):
    """A name that a filter swept up, as opposed to one that the user wrote."""

    __slots__ = ()


class Selected(NamedTuple):
    """One hook point that a filter means.

    :ivar exact: True if it was asked for by this name.
    """

    name: str
    point: HookPoint
    exact: bool

    @property
    def asked(self) -> str:
        """The name for the verbs of the model; its type says whether a user wrote it."""
        return self.name if self.exact else SweptName(self.name)


class Selection:
    """The hook points that a filter means, in the model's order; compared by identity.

    The same object stands for the same points as long as the model's tree is the same.
    """

    __slots__ = ("__weakref__", "entries")

    def __init__(self, entries: Iterable[Selected]) -> None:
        self.entries = tuple(entries)

    def __iter__(self) -> Iterator[Selected]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


class Written:
    """Finds points by names that a user wrote, as long as the model has the same points."""

    __slots__ = ("_found", "_places")

    def __init__(self, points: Mapping[str, HookPoint]) -> None:
        self._found = [Selected(name, point, True) for name, point in points.items()]
        self._places = {name: place for place, name in enumerate(points)}

    def selected(self, names: Collection[str]) -> list[Selected] | None:
        """The points of these names, in the model's order; None if one of them is the name of no point."""
        try:
            places = {*map(self._places.__getitem__, names)}
        except KeyError:
            return None
        found = self._found
        return [found[place] for place in sorted(places)]


def select(
    names_filter: NamesFilter,
    points: Mapping[str, HookPoint],
    modules: Mapping[str, Any] | None = None,
) -> list[Selected]:
    """The points that ``names_filter`` means, in the order of ``points``, each point once.

    A name that holds ``*``, ``?`` or ``[`` and is no point's is a glob on its dotted parts. What it matches was swept up,
    not asked for by name.

    :param points: name → hook point.
    :param modules: name → module, for a better error when a name is no hook point's.
    :raises UnknownHookPoint: if a name is not there, or a glob matches none; with the nearest names that are.
    :raises NotAHookPoint: if a name is that of another kind of module.
    :raises InvalidNamesFilter: if it is none of a name, names, globs, a predicate and None.
    """
    if isinstance(names_filter, str):
        if names_filter not in points and is_glob(names_filter):
            return _mixed([names_filter], points, modules)
        written = not isinstance(names_filter, SweptName)
        return [Selected(str(names_filter), _find(names_filter, points, modules), written)]
    if names_filter is None:
        return _once(Selected(name, point, False) for name, point in points.items())
    if callable(names_filter):
        wanted: Callable[[str], bool] = names_filter
        return _once([Selected(name, point, False) for name, point in points.items() if wanted(name)])
    if isinstance(names_filter, Collection) and all(issubclass(kind, str) for kind in {*map(type, names_filter)}):
        return _named(names_filter, points, modules)
    raise InvalidNamesFilter(
        f"names_filter {describe(names_filter)} is none of a name, a glob, a list of these, a predicate on names, and None"
    )


def _named(
    names: Collection[str], points: Mapping[str, HookPoint], modules: Mapping[str, Any] | None
) -> list[Selected]:
    swept = {name for name in names if isinstance(name, SweptName)}
    wanted = set(names)
    if not wanted <= points.keys():
        return _mixed(names, points, modules)
    return [Selected(name, point, name not in swept) for name, point in points.items() if name in wanted]


def _mixed(
    names: Collection[str], points: Mapping[str, HookPoint], modules: Mapping[str, Any] | None
) -> list[Selected]:
    """As :func:`_named`, for names and globs; a glob leaves out points that were asked for by another of their names."""
    written: dict[str, bool] = {}
    swept: set[str] = set()
    for name in names:
        if name in points or not is_glob(name):
            _find(name, points, modules)
            written[str(name)] = written.get(name, False) or not isinstance(name, SweptName)
        else:
            swept.update(_matching(name, points))
    asked = {id(points[name]) for name in written}
    rest = _once(
        Selected(name, point, False) for name, point in points.items() if name in swept and id(point) not in asked
    )
    kept = {selected.name for selected in rest}
    return [
        Selected(name, point, written.get(name, False))
        for name, point in points.items()
        if name in written or name in kept
    ]


def _matching(glob: str, points: Collection[str]) -> list[str]:
    found = list(filter(_compiled(glob).matches, points))
    if not found:
        raise unknown_point(glob, points)
    return found


_compiled = lru_cache(maxsize=64)(Glob)  # each remembers its answers


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


def unknown_point(name: str, points: Collection[str]) -> UnknownHookPoint:
    """The error for a name that is not there, or a glob that matches none."""
    what, hint = "no hook point", _near(name, points, "did you mean ")
    if is_glob(name):
        what = "no hook point that matches"
        if any(fnmatchcase(point, name) for point in points):
            near = next((g for g in (f"**.{name}", f"{name}*") if any(map(Glob(g).matches, points))), "**.hook_out")
            hint = f"* and ? stay within one part of a name, and ** stands for any number of parts: {near!r}"
    return UnknownHookPoint(f"the model has {what} {name!r}: {hint} (all names: model.hook_dict)")


def _near(name: str, points: Collection[str], lead: str) -> str:
    inside = [other for other in points if other.startswith(f"{name}.")][:3]
    near = inside or difflib.get_close_matches(name, list(points), n=3, cutoff=0.5)
    return lead + ", ".join(map(repr, near)) if near else f"it has {len(points)} hook points, none of a similar name"
