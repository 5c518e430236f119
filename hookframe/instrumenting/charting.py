"""The points of one model: made from its modules and its family, kept when the tree is read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from torch import nn

from hookframe.admission.controller import current_controller
from hookframe.core.model.hook_point import HookPoint
from hookframe.core.model.tree import ModuleTree, PointIndex
from hookframe.instrumenting.attention import AttentionPoint
from hookframe.instrumenting.choosing import families_in_force
from hookframe.instrumenting.family import Family
from hookframe.instrumenting.foreign_names import below
from hookframe.instrumenting.foreign_point import ForeignPoint
from hookframe.instrumenting.forward_counter import ForwardCounter
from hookframe.instrumenting.module_point import ModulePoint, pos_dim_of
from hookframe.instrumenting.naming import Canonical, Layout
from hookframe.instrumenting.recognising import Reading, read_families
from hookframe.instrumenting.site import site_of

__all__ = ["Chart", "ChartedPoints"]


class ChartedPoints(PointIndex):
    """The points of a chart that were asked for, and what is kept with them."""

    def __init__(self, points: Mapping[str, HookPoint], modules: Mapping[str, nn.Module], chart: Chart) -> None:
        super().__init__(points, modules)
        self._chart = chart

    def is_current(self) -> bool:
        """As the chart; False as well if families are in force that were not asked yet."""
        return self._chart.is_current and self._chart.knows_families()


class Chart:
    """Name → point for one model, in the order in which the modules lie in it.

    :ivar family: the family that the user gave, if any.
    :ivar points: every name; a point with several names is there under each.
    :ivar reading: what the families in force know of the model.
    :ivar modules: name → module, the model itself under ``""``; empty before the model was read.
    """

    reading: Reading

    def __init__(self, model: nn.Module, family: Family | None, counter: ForwardCounter) -> None:
        self.model = model
        self.family = family
        self.counter = counter
        self.points: dict[str, ModulePoint] = {}
        self._tree: ModuleTree | None = None
        self.modules: dict[str, nn.Module] = {}
        self._asked: object = None

    @property
    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since the model was read."""
        return self._tree is not None and self._tree.is_current()

    def knows_families(self) -> bool:
        """True if no family is in force that was not asked about the model yet."""
        controller = current_controller()
        if self._asked is controller:
            return True
        known = {family.name: family for family in self.reading.families}
        if any(known.get(family.name) != family for family in families_in_force()):
            return False
        self._asked = controller
        return True

    @property
    def models(self) -> list[tuple[Family, Layout, nn.Module]]:
        """Each family with its layout and the model that it recognised; the one that the user gave comes first."""
        given = None if self.family is None else Layout.read(self.model, self.family, self.modules)
        first = [] if self.family is None or given is None else [(self.family, given, self.model)]
        return first + [(known.family, known.layout, self.modules[known.name]) for known in self.reading.known]

    def read(self) -> dict[str, ModulePoint]:
        """Read the model. Points keep their functions, and move to the modules that have their names now.

        :returns: the points that have no module any more, by name; they never fire again.
        """
        before = self.points
        self._tree = ModuleTree(self.model)
        self.modules = {"": self.model, **self._tree.modules}
        self._asked, self.reading = current_controller(), read_families(self.model, self.modules)
        self.points = dict(self._drawn(before))
        names: dict[ModulePoint, list[str]] = {}
        for name, point in self.points.items():
            names.setdefault(point, []).append(name)
        for point, known_as in names.items():
            point.be_named(known_as[0])
            point.__dict__["names"] = tuple(known_as)
        kept = set(names)
        return {name: point for name, point in before.items() if point not in kept}

    def _drawn(self, before: Mapping[str, ModulePoint]) -> Iterator[tuple[str, ModulePoint]]:
        canonical = self._canonical()
        by_module: dict[tuple[int, str], ModulePoint] = {}
        for name, side in self._in_order():
            module = self.modules[name]
            own = self._own_names(name, side)
            entries = canonical.get((name, side), ())
            # a name of the same tensor is another name of the module's own point; any other place is a point of its own
            plain = [entry.name for entry in entries if _is_plain(entry)]
            if names := [*plain, *own]:
                point = by_module.get((id(module), side)) or self._point(names, before, name, side, None)
                by_module[id(module), side] = point
                point.pos_dim = next((pos_dim_of(entry.at) for entry in entries if _is_plain(entry)), point.pos_dim)
                yield from ((known_as, point) for known_as in names)
            for entry in entries:
                if not _is_plain(entry):
                    yield entry.name, self._point([entry.name], before, name, side, entry)

    def _own_names(self, module: str, side: str) -> list[str]:
        """What the point at one side of a module is called, families aside; a foreign point of the name takes its place."""
        foreign = self.reading.foreign
        if module in foreign:
            return [below(outer, name) for outer, name in foreign[module]]
        own = below(module, f"hook_{side}")
        return [] if own in foreign else [own]

    def _canonical(self) -> dict[tuple[str, str], list[Canonical]]:
        """Module's name and side → what the families call it. A name means one place: the first family that has it says where."""
        found: dict[tuple[str, str], list[Canonical]] = {}
        taken: dict[str, Canonical] = {}
        for family, layout, _ in self.models:
            for entry in layout.canonical(family):
                if taken.setdefault(entry.name, entry) is entry:
                    side = "in" if entry.at.inside is not None else entry.at.side
                    found.setdefault((entry.module, side), []).append(entry)
        return found

    def _in_order(self) -> Iterator[tuple[str, Literal["in", "out"]]]:
        """Each side of each module: what goes into it, then what is below it, then what comes out."""
        open_: list[str] = []
        for name, module in self.modules.items():
            while open_ and not _inside(name, open_[-1]):
                yield open_.pop(), "out"
            if not isinstance(module, HookPoint):
                if name not in self.reading.foreign:
                    yield name, "in"
                open_.append(name)
        while open_:
            yield open_.pop(), "out"

    def _point(
        self,
        names: list[str],
        before: Mapping[str, ModulePoint],
        module: str,
        side: Literal["in", "out"],
        entry: Canonical | None,
    ) -> ModulePoint:
        site = site_of(self.modules[module], side)
        kind: Any = ForeignPoint if module in self.reading.foreign else ModulePoint
        if entry is not None and entry.at.inside is not None:
            kind = AttentionPoint
        at, heads = (None, None) if entry is None else (entry.at, entry.heads)
        point: ModulePoint | None = next((before[name] for name in names if name in before), None)
        if point is None or type(point) is not kind or point.at != at:
            point = kind(site, self.counter, at, heads=heads)
        point.move(site, module, self.modules[module.rpartition(".")[0]] if module else None)
        return point


def _is_plain(entry: Canonical) -> bool:
    """True if the place is just what the module's own point sees."""
    at = entry.at
    return at.item is None and at.part is None and at.heads is None and not at.heads_first and at.inside is None


def _inside(name: str, of: str) -> bool:
    return not of or name.startswith(f"{of}.")
