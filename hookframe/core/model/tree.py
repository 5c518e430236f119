"""A model's modules by name, and what follows from them as long as they stay the same: points by name, and planned batches.

The modules are read once, and compared with the model each time before anything relies on them.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from hookframe.admission.listing import listed
from hookframe.admission.point_names import number_in
from hookframe.admission.request import FunctionInfo
from hookframe.core.fast_path.batch_pool import BatchPool
from hookframe.core.model.hook_point import HookPoint, points_made
from hookframe.core.model.names import Selection, SweptName, Written, select
from hookframe.core.registration.batch import Batch
from hookframe.core.torch_compat.child_tables import CONTAINERS, ChildTables
from hookframe.core.values.warn import warn_user
from hookframe.errors import HooksLostWarning

if TYPE_CHECKING:
    from hookframe.admission.place import Place
    from hookframe.core.values.protocols import Model
    from hookframe.core.values.types import NamesFilter

__all__ = ["ModuleTree", "NamedTree", "PointIndex", "warn_of_lost_hooks"]

_KEPT_FILTERS = 128
_WRITTEN = {str}


class PointIndex:
    """What stays the same as long as a model's modules do.

    :ivar points: name → hook point, in the model's order.
    :ivar present: those that filters mean: all, unless some are out of the model for a while.
    :ivar batches: planned hooks for operations on these points.
    :ivar asked: the controller whose families are known.
    :ivar equal: name of a point → those that carry the same tensor, once they were asked for.
    :ivar families: the families that recognise the model, once they were asked.
    :ivar places: id of a point → its place, once somebody asked.
    """

    points: Mapping[str, HookPoint]

    def __init__(
        self,
        points: Mapping[str, HookPoint],
        modules: Mapping[str, Any],
        present: Mapping[str, HookPoint] | None = None,
    ) -> None:
        self.points = points
        self.present = present = points if present is None else present
        self._modules = modules
        self._exact = Written(present)
        self._size = len(points)
        self._everything = Selection(select(None, present))
        self._kept: dict[Any, Selection] = {}
        self._last: tuple[tuple[list[str], Selection], ...] = ()
        self._written_names: dict[str, Selection] = {}
        self._swept_names: dict[str, Selection] = {}
        self._shared: bool | None = None
        self.asked: object = None
        self.families: tuple[str, ...] | None = None
        self.equal: Mapping[str, Sequence[str]] | None = None
        self.places: dict[int, Place] = {}
        self.batches: BatchPool[Batch] = BatchPool()

    def are_shared(self, root: Model) -> bool:
        """True if one of the points belongs to another model than ``root`` as well."""
        if self._shared is None:
            self._shared = any(point.other_owners(root) for point in self.points.values())
        return self._shared

    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since."""
        raise NotImplementedError  # each kind of model checks it in its own way

    def has_no_new_point(self) -> bool:
        """True if no point was made since: a part of :meth:`is_current` that costs next to nothing."""
        return True

    def selection(self, names_filter: NamesFilter) -> Selection:
        """What ``names_filter`` means; a predicate is called with each name every time.

        :raises UnknownHookPoint: and what else :func:`~hookframe.core.model.names.select` raises.
        """
        if len(self.points) != self._size:  # a user has edited the dict
            return Selection(select(names_filter, self.points, self._modules))
        if names_filter is None:
            return self._everything
        if isinstance(names_filter, str):
            return self._named(names_filter)
        if callable(names_filter):
            accepted = tuple(filter(names_filter, self.present))
            return self._swept(accepted)
        return self._listed(names_filter) if type(names_filter) is list else self._collected(names_filter)

    def _listed(self, names: list[str]) -> Selection:
        """What a list means. The last lists are compared first: faster than hashing if the names are the same objects."""
        if not names or not type(names[0]) is str is type(names[-1]):
            return self._selected(names)
        for last, selection in self._last:
            if last == names:
                return selection
        if {*map(type, names)} != _WRITTEN:  # a swept name equals the written one, and means something else
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
            if name not in self.points:  # a glob: there are any number of these, so only some are kept
                found = self._kept.get(name)
                return self._keep(name, self._selected(name)) if found is None else found
            found = kept[str(name)] = self._selected(name)
        return found

    def _swept(self, names: tuple[str, ...]) -> Selection:
        if len(names) == len(self.present):
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
        return Selection(select(names_filter, self.present, self._modules))

    def forget(self) -> None:
        """Drop the planned batches: a point has another name, conversion or model than before."""
        self._shared = None
        self.places = {}
        self.forget_plans()

    def forget_plans(self) -> None:
        """Drop the planned batches."""
        self.batches = BatchPool()


_GIVEN = "_hookframe_name"  # the name that hookframe gave a module, to tell it from a name of the module's own


class ModuleTree:
    """The modules below one module. Reading them changes nothing.

    :ivar modules: dotted name → module, without the root, in the model's order. A module that is registered under two
        names is there twice.
    """

    def __init__(self, root: nn.Module) -> None:
        self._root = weakref.ref(root)  # the root may hold the tree
        self.modules: dict[str, nn.Module] = dict(_walk(root, "", ()))
        parents = {id(module): module for module in self.modules.values() if _is_parent(module)}
        self._children = [(parent, dict(parent._modules)) for parent in parents.values()]
        self._of_root = dict(root._modules)
        self._leaves = [module for module in self.modules.values() if id(module) not in parents]
        self._watch_tables(root)

    def _watch_tables(self, root: nn.Module) -> None:
        self._made = points_made.number
        self._root_table = root._modules
        self._tables = ChildTables([parent for parent, _ in self._children], root)

    def has_no_new_point(self) -> bool:
        """True if no hook point was made in this process since the tree was read, or last found to be current."""
        return points_made.number == self._made

    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since; usually a check of the tables of children is enough."""
        root = self._root()
        if root is None:
            return False
        same = points_made.number == self._made and root.__dict__["_modules"] is self._root_table
        if same and self._tables.are_untouched():
            return True
        if root._modules != self._of_root or any(leaf._modules for leaf in self._leaves):
            return False
        if any(parent._modules != children for parent, children in self._children):
            return False
        self._watch_tables(root)
        return True


class NamedTree(ModuleTree, PointIndex):
    """The tree that ``setup()`` read, with its hook points by name.

    Reading it pins each hook point in its parent's ``__dict__``: ``self.hook_q`` is otherwise found by
    ``nn.Module.__getattr__``, after everything else has failed, at several times the cost of calling an idle point. Assigning
    another module there unpins it, since torch clears the entry; after ``del`` or a change in ``_modules``, the next
    operation unpins it.

    A point in whose place another module has come since the tree ``before`` was read stays in ``points``, since people
    exchange points for a while and put them back. No filter means it meanwhile.

    :ivar names: id of a point → its names here, the first one first.
    :ivar had_points: True if the model has points, or had some.
    """

    def __init__(self, root: nn.Module, before: NamedTree | None = None) -> None:
        ModuleTree.__init__(self, root)
        present = {id(module) for module in self.modules.values()}
        away = {} if before is None else {n: p for n, p in before.points.items() if id(p) not in present}
        found = ((n, m if isinstance(m, HookPoint) else away.get(n)) for n, m in self.modules.items())
        points = {name: point for name, point in found if point is not None}
        self.had_points = bool(points)
        self.names: dict[int, tuple[str, ...]] = {}
        for name, point in points.items():
            self.names[id(point)] = (*self.names.get(id(point), ()), name)
        for module in (root, *self.modules.values()):
            if not isinstance(module, HookPoint):
                _pin_points(module)
        self._watch_tables(root)  # the pins have changed the dicts that it watches
        here = {name: point for name, point in points.items() if id(point) in present}
        PointIndex.__init__(self, points, self.modules, points if len(here) == len(points) else here)

    def give_names(self) -> None:
        """Set ``.name`` on each module: its first name here. A ``name`` that is the module's own stays."""
        seen: set[int] = set()
        for name, module in self.modules.items():
            if id(module) not in seen:
                seen.add(id(module))
                _give_name(module, name)

    def layer_of(self, point: HookPoint) -> int | None:
        """The number of ``point`` in the one list of layers on the way to it; None if there is none, or more than one."""
        return next(iter(layers_on_the_way(self.names.get(id(point), ("",))[0], self.modules)), None)

    def hooked_under_a_new_name(self, before: NamedTree | None) -> list[HookPoint]:
        """The points with hooks that have a name here which they did not have in the tree ``before``."""
        known = {} if before is None else before.names
        unique = {id(point): point for point in self.points.values()}
        return [
            point
            for key, point in unique.items()
            if not {*self.names[key]} <= {*known.get(key, ())} and point.has_hooks()
        ]

    def warn_of_lost(self, after: NamedTree) -> None:
        """Warn of hooks at points that are no longer in the model, which now has the tree ``after``."""
        there, still = ({*map(id, tree.modules.values())} for tree in (self, after))
        lost = [
            f"{FunctionInfo.of(attachment.user_hook)} at {self.names[id(point)][0]!r}"
            for point in {id(point): point for point in self.points.values()}.values()
            if id(point) in there and id(point) not in still
            for attachment in point.fitting("both", True, None)
        ]
        if lost:
            warn_of_lost_hooks(lost)


def warn_of_lost_hooks(lost: Sequence[str]) -> None:
    """Warn of hooks whose points are no longer in the model.

    :param lost: for each, the function and its point.
    """
    warn_user(
        f"modules of the model were replaced or deleted, and {len(lost)} hooks with them: {listed(lost)}; "
        "attach them again, to what is there now",
        HooksLostWarning,
    )


def layers_on_the_way(name: str, modules: Mapping[str, nn.Module]) -> list[int]:
    """The number below the one list of layers on the way to ``name``; none, if there is no such list or more than one.

    A list of layers is a ``ModuleList``; where there is none, an ``nn.Sequential`` of which two modules have one class.
    """
    found: dict[bool, list[int]] = {True: [], False: []}
    parts = name.split(".")
    for place, part in enumerate(parts):
        number = number_in(part)
        around = None if number is None or not place else modules.get(".".join(parts[:place]))
        if number is not None and isinstance(around, (nn.ModuleList, nn.Sequential)):
            kinds = [type(module) for module in around.children()]
            if isinstance(around, nn.ModuleList) or len({*kinds}) < len(kinds):
                found[isinstance(around, nn.ModuleList)].append(number)
    numbers = found[True] or found[False]
    return numbers if len(numbers) == 1 else []


def _walk(module: nn.Module, prefix: str, above: tuple[nn.Module, ...]) -> Iterator[tuple[str, nn.Module]]:
    for part, child in module._modules.items():
        if child is None or child in above:
            continue
        name = f"{prefix}{part}"
        yield name, child
        if child._modules:
            yield from _walk(child, f"{name}.", (*above, module))


def _is_parent(module: nn.Module) -> bool:
    """True if the module has children, or may get some: a container, or a module of a class that is not torch's."""
    own = not isinstance(module, HookPoint) and not type(module).__module__.startswith("torch.")
    return bool(module._modules) or own or isinstance(module, CONTAINERS)


def _give_name(module: nn.Module, name: str) -> None:
    given = module.__dict__.get(_GIVEN)
    own = getattr(type(module), "name", None) is not None or ("name" in module.__dict__ and module.name != given)
    if isinstance(module, HookPoint):
        module.be_named(name)
    elif not own:
        module.__dict__.update({"name": name, _GIVEN: name})


def _pin_points(module: nn.Module) -> None:
    """Put the hook points among the children of ``module`` into its ``__dict__``, and remove former children."""
    own, children = module.__dict__, module._modules
    for name in [name for name, value in own.items() if isinstance(value, HookPoint)]:
        if children.get(name) is not own[name]:
            del own[name]
    for name, child in children.items():
        if isinstance(child, HookPoint) and name.isidentifier() and not hasattr(type(module), name):
            own.setdefault(name, child)
