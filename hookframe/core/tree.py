"""A model's modules by name: read once in ``setup()``, and compared with the model before it is relied on.

What follows from the tree alone is kept with it and goes with it: what a filter of names means, and the planned hooks of
operations that are over, for the next one of the same kind.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any

from torch import nn

from hookframe.core.batch_pool import BatchPool
from hookframe.core.guarded_modules import GuardedModules, pin
from hookframe.core.hook_point import HookPoint
from hookframe.core.names import select
from hookframe.core.selection import Selected, Selection, SweptName

if TYPE_CHECKING:
    from hookframe.core.types import NamesFilter

__all__ = ["ModuleTree"]

_GIVEN = "_hookframe_name"  # the name that hookframe gave a module, to tell it from a name of the module's own
_KEPT_FILTERS = 128
_children = attrgetter("_modules")


class ModuleTree:
    """What ``setup()`` read.

    :ivar modules: dotted name → module, the root left out, in the model's order. A module that is registered under two
        names is there twice.
    :ivar points: the hook points among them.
    :ivar names: id of a point → its first name here.
    :ivar batches: planned hooks for operations on these points.
    """

    def __init__(self, root: nn.Module) -> None:
        self.modules: dict[str, nn.Module] = dict(_walk(root, "", ()))
        points = {name: module for name, module in self.modules.items() if isinstance(module, HookPoint)}
        self.points: dict[str, HookPoint] = points
        self.names: dict[int, str] = {}
        for name, point in points.items():
            self.names.setdefault(id(point), name)
        self._exact = {name: Selected(name, point, True) for name, point in points.items()}
        self._size = len(points)
        self._everything = Selection(select(None, points))
        self._kept: dict[Any, Selection] = {}
        self._written_names: dict[str, Selection] = {}
        self._swept_names: dict[str, Selection] = {}
        self.batches = BatchPool()
        self._root = weakref.ref(root)  # it holds the tree, which must not hold it
        self._watch(root)

    def _watch(self, root: nn.Module) -> None:
        below = {id(module): module for module in self.modules.values() if module._modules}
        parents = [root, *below.values()]
        for parent in parents:
            for name, child in parent._modules.items():
                if isinstance(child, HookPoint):
                    pin(parent, name, child)
        tables = [GuardedModules.guard(parent) for parent in parents]
        self._changes = GuardedModules.changes
        self._of_root = tables[0]
        self._below = [parent for parent, table in zip(parents[1:], tables[1:], strict=True) if table is not None]
        self._tables = [table for table in tables[1:] if table is not None]
        self._before = [None if table is None else dict(table) for table in (self._of_root, *self._tables)]
        unguarded = [parent for parent, table in zip(parents, tables, strict=True) if table is None]
        self._compared = [(weakref.ref(parent), dict(parent._modules)) for parent in unguarded]

    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since."""
        root = self._root()
        if root is None or (self._of_root is not None and root._modules is not self._of_root):
            return False
        if not all(map(is_, map(_children, self._below), self._tables)):
            return False
        if self._changes != GuardedModules.changes:  # somewhere in the process: look closely
            now = GuardedModules.changes
            if [self._of_root, *self._tables] != self._before:
                return False
            self._changes = now
        return all(_same_children(parent(), children) for parent, children in self._compared)

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

    def give_names(self) -> None:
        """Set ``.name`` on each module: its first name here. A ``name`` that is the module's own stays."""
        seen: set[int] = set()
        for name, module in self.modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                _give_name(module, name)


def _same_children(parent: nn.Module | None, children: dict[str, nn.Module | None]) -> bool:
    return parent is not None and parent._modules == children


def _give_name(module: nn.Module, name: str) -> None:
    given = module.__dict__.get(_GIVEN)
    own = getattr(type(module), "name", None) is not None or ("name" in module.__dict__ and module.name != given)
    if isinstance(module, HookPoint):
        module.be_named(name)
    elif not own:
        module.__dict__.update({"name": name, _GIVEN: name})


def _walk(module: nn.Module, prefix: str, above: tuple[nn.Module, ...]) -> Iterator[tuple[str, nn.Module]]:
    for part, child in module._modules.items():
        if child is None or child in above:
            continue
        name = f"{prefix}{part}"
        yield name, child
        if not isinstance(child, HookPoint):
            yield from _walk(child, f"{name}.", (*above, module))
