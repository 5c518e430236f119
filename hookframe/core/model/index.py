"""The hook points of a model by name, and what is kept with them: what filters mean, and planned hooks that are over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hookframe.core.fast_path.pool import BatchPool
from hookframe.core.model.names import Selection, SweptName, Written, select
from hookframe.core.registration.batch import Batch

if TYPE_CHECKING:
    from hookframe.core.model.hook_point import HookPoint
    from hookframe.core.values.protocols import Model
    from hookframe.core.values.types import NamesFilter

__all__ = ["PointIndex"]

_KEPT_FILTERS = 128
_WRITTEN = {str}


class PointIndex:
    """What stays the same as long as a model's modules do.

    :ivar points: name → hook point, in the model's order.
    :ivar batches: planned hooks for operations on these points.
    """

    points: Mapping[str, HookPoint]

    def __init__(self, points: Mapping[str, HookPoint], modules: Mapping[str, Any]) -> None:
        self.points = points
        self._modules = modules
        self._exact = Written(points)
        self._size = len(points)
        self._everything = Selection(select(None, points))
        self._kept: dict[Any, Selection] = {}
        self._last: tuple[tuple[list[str], Selection], ...] = ()
        self._written_names: dict[str, Selection] = {}
        self._swept_names: dict[str, Selection] = {}
        self._shared: bool | None = None
        self.batches: BatchPool[Batch] = BatchPool()

    def are_shared(self, root: Model) -> bool:
        """True if one of the points belongs to another model than ``root`` as well."""
        if self._shared is None:
            self._shared = any(point.other_owners(root) for point in self.points.values())
        return self._shared

    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since."""
        raise NotImplementedError  # each kind of model knows it in its own way

    def has_no_new_point(self) -> bool:
        """True if no point was made since: a part of :meth:`is_current` that costs next to nothing."""
        return True

    def selection(self, names_filter: NamesFilter) -> Selection:
        """What ``names_filter`` means; a predicate is asked about each name every time.

        :raises UnknownHookPoint: and what else :func:`~hookframe.core.model.names.select` raises.
        """
        if len(self.points) != self._size:  # somebody has edited the dict
            return Selection(select(names_filter, self.points, self._modules))
        if names_filter is None:
            return self._everything
        if isinstance(names_filter, str):
            return self._named(names_filter)
        if callable(names_filter):
            accepted = tuple(filter(names_filter, self.points))
            return self._swept(accepted)
        return self._listed(names_filter) if type(names_filter) is list else self._collected(names_filter)

    def _listed(self, names: list[str]) -> Selection:
        """What a list means. The last ones are compared: faster than hashing, for names that are the same objects."""
        if not names or not type(names[0]) is str is type(names[-1]):
            return self._selected(names)
        for last, selection in self._last:
            if last == names:
                return selection
        if {*map(type, names)} != _WRITTEN:  # a swept name is equal to what is written, and another thing
            return self._selected(names)
        selection = self._written(names)
        self._last = ((names.copy(), selection), *self._last[:3])
        return selection

    def _collected(self, names_filter: Sequence[str]) -> Selection:
        if isinstance(names_filter, Collection) and {*map(type, names_filter)} == _WRITTEN:
            return self._written(names_filter)
        return self._selected(names_filter)

    def _written(self, names: Sequence[str]) -> Selection:
        key = tuple(names)
        found = self._kept.get(key)
        if found is None:
            entries = self._exact.selected(names)
            found = self._keep(key, self._selected(names) if entries is None else Selection(entries))
        return found

    def _named(self, name: str) -> Selection:
        kept = self._swept_names if type(name) is SweptName else self._written_names
        found = kept.get(name)
        if found is None:
            if name not in self.points:  # a glob, of which there is no end
                return self._remembered(name, name)
            found = kept[str(name)] = self._selected(name)
        return found

    def _remembered(self, key: Any, names_filter: NamesFilter) -> Selection:
        found = self._kept.get(key)
        if found is None:
            found = self._keep(key, self._selected(names_filter))
        return found

    def _swept(self, names: tuple[str, ...]) -> Selection:
        if len(names) == self._size:
            return self._everything
        found = self._kept.get((names,))
        if found is None:
            wanted = set(names)
            found = self._keep((names,), self._selected(wanted.__contains__))
        return found

    def _keep(self, key: Any, selection: Selection) -> Selection:
        if len(self._kept) >= _KEPT_FILTERS:
            self._kept.pop(next(iter(self._kept)), None)
        return self._kept.setdefault(key, selection)

    def _selected(self, names_filter: NamesFilter) -> Selection:
        return Selection(select(names_filter, self.points, self._modules))

    def forget_filters(self) -> None:
        """Find out anew what filters mean."""
        self._kept.clear()
        self._last = ()

    def forget(self) -> None:
        """Plan anew from here on: a point has another name, or another model's say, than before."""
        self._shared = None
        self.forget_plans()

    def forget_plans(self) -> None:
        """Plan what is asked for anew."""
        self.batches = BatchPool()
