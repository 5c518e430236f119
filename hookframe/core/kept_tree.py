"""The tree of a model that is made for hookframe: points are pinned, and what follows from the tree is kept with it.

What a filter of names means, and the planned hooks of operations that are over, go with the tree when it is read anew.
"""

from __future__ import annotations

import itertools
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from torch import nn

from hookframe.core.batch_pool import BatchPool
from hookframe.core.hook_point import HookPoint
from hookframe.core.names import select
from hookframe.core.pins import pin_points
from hookframe.core.points_made import points_made
from hookframe.core.selection import Selected, Selection, SweptName
from hookframe.core.tree import ModuleTree

if TYPE_CHECKING:
    from hookframe.core.types import NamesFilter

__all__ = ["KeptTree"]

try:
    # says when a dict was changed, for torch's compiler: an order of magnitude cheaper than comparing
    from torch._C._dynamo.guards import dict_version
except ImportError:  # another torch: each look finds a new number, and compares
    _numbers = itertools.count()

    def dict_version(d: dict[Any, Any]) -> int:
        """No version that any dict had before."""
        return next(_numbers)


_KEPT_FILTERS = 128
_children = attrgetter("_modules")


class KeptTree(ModuleTree):
    """What ``setup()`` read.

    Reading it pins the hook points in their parents.

    :ivar batches: planned hooks for operations on these points.
    """

    def __init__(self, root: nn.Module) -> None:
        super().__init__(root)
        self._exact = {name: Selected(name, point, True) for name, point in self.points.items()}
        self._size = len(self.points)
        self._everything = Selection(select(None, self.points))
        self._kept: dict[Any, Selection] = {}
        self._written_names: dict[str, Selection] = {}
        self._swept_names: dict[str, Selection] = {}
        self.batches = BatchPool()

    def _watch(self, parents: list[nn.Module]) -> None:
        super()._watch(parents)
        root = self._root()
        for module in self.modules.values() if root is None else (root, *self.modules.values()):
            if not isinstance(module, HookPoint):
                pin_points(module)
        self._parents_below = parents
        self._made = points_made.number
        self._versions = self._versions_now(root)

    def _versions_now(self, root: nn.Module | None) -> list[int]:
        below = list(map(dict_version, map(_children, self._parents_below)))
        return below if root is None else [dict_version(root._modules), *below]

    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since."""
        made, versions = points_made.number, self._versions_now(self._root())
        if versions == self._versions and made == self._made:
            return True
        if not super().is_current():
            return False
        self._versions, self._made = versions, made
        return True

    def selection(self, names_filter: NamesFilter) -> Selection:
        """What ``names_filter`` means; a predicate is asked about each name every time.

        :raises UnknownHookPoint: and what else :func:`~hookframe.core.names.select` raises.
        """
        if len(self.points) != self._size:  # somebody has edited the dict
            return Selection(select(names_filter, self.points, self.modules))
        if names_filter is None:
            return self._everything
        if isinstance(names_filter, str):
            return self._named(names_filter)
        if callable(names_filter):
            accepted = tuple(filter(names_filter, self.points))
            return self._swept(accepted)
        try:
            names = tuple(names_filter)
            if names and type(names[0]) is str is type(names[-1]):
                return self._remembered(names, names_filter)
        except TypeError:  # no collection, or not one of names
            pass
        return self._selected(names_filter)

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
        return Selection(select(names_filter, self.points, self.modules, self._exact))

    def forget(self) -> None:
        """Plan anew from here on: a point has another name, or another model's say, than before."""
        self.batches = BatchPool()
