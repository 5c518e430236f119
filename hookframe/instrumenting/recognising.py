"""What families know of the modules below one module: whole models, parts of models, and what their places are called.

A :class:`Reading` is made once for each tree of modules, and kept as long as the module at its top lives. Every module knows
the readings that it is in, so that a layer that is instrumented alone is found in the model that it belongs to.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from torch import nn

from hookframe.admission.place import Place
from hookframe.core.model.tree import layers_on_the_way
from hookframe.instrumenting.choosing import families_in_force
from hookframe.instrumenting.equality import Classes, equal_names
from hookframe.instrumenting.family import Family, config_of
from hookframe.instrumenting.foreign_names import below, names_by_model
from hookframe.instrumenting.naming import Canonical, Layout
from hookframe.instrumenting.place import Inner, Part
from hookframe.instrumenting.structure import fits, holds, in_a_layer

__all__ = ["Reading", "Recognised", "SeenModel", "equal_points", "families_of", "place_at", "read_families"]

Side = Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class Recognised:
    """A model of a family, somewhere in a tree of modules.

    :ivar name: the name of the model in the tree, ``""`` if it is the top.
    :ivar layout: where the family's modules are, by their names in the tree.
    :ivar rank: how the family recognised it: 0 by the nearest of the model's kinds, larger numbers by those that it derives
        from; see :func:`~hookframe.instrumenting.family.kinds_of`.
    :ivar whole: True if it has as many layers as its configuration says.
    """

    family: Family
    name: str
    layout: Layout
    rank: int
    whole: bool

    def contains(self, name: str) -> bool:
        """True if the module called ``name`` is the model or a part of it."""
        return _inside(name, self.name)

    def layer_of(self, name: str) -> int | None:
        """The number of the layer that the module called ``name`` is, or is in."""
        return self.layout.layer_of(name)


@dataclass(frozen=True, slots=True)
class SeenModel:
    """Which tensor is seen at one side of a module: see :class:`~hookframe.instrumenting.place.At`."""

    side: Side
    item: int | str | None = None
    part: Part | None = None
    inside: Inner | None = None

    @property
    def is_the_modules(self) -> bool:
        """True for the activation that goes in or comes out, or a part of it."""
        return self.inside is None and self.item in (None, 0)

    @property
    def whole(self) -> SeenModel:
        """The whole tensor that it is an element of, or is."""
        return SeenModel(self.side, None if self.is_the_modules else self.item, None, self.inside)

    def is_same_as(self, other: SeenModel) -> bool:
        """True if both are elements of one tensor."""
        items = self.item == other.item or (self.is_the_modules and other.is_the_modules)
        return self.side == other.side and self.inside == other.inside and items


class Reading:
    """What families know of the modules below ``root``, which it does not keep alive.

    :ivar families: the families that were asked.
    :ivar known: the models of families that are in it.
    :ivar modules: module → its names in the tree.
    :ivar foreign: what the hook points of another library are called: see :func:`~hookframe.instrumenting.foreign_names.names_by_model`.
    """

    def __init__(self, root: nn.Module, modules: Mapping[str, nn.Module], families: Sequence[Family]) -> None:
        """Read the tree.

        :param modules: name → module, the root itself under ``""``.
        :raises FamilyConflict: if two families give one name to two places.
        """
        self.families = tuple(families)
        kinds = _Kinds(families)
        self.known = tuple(_whole_models(modules, kinds))
        self._parts = [
            (name, weakref.ref(modules[name]), family) for name, family in _parts(modules, kinds, self.known)
        ]
        self._names: MutableMapping[nn.Module, tuple[str, ...]] = weakref.WeakKeyDictionary()
        self._layers = {name: layers_on_the_way(name, modules) for name in modules}
        for name, module in modules.items():
            self._names[module] = (*self._names.get(module, ()), name)
        self.foreign = names_by_model(modules)
        self.canonical: dict[tuple[str, Side], list[tuple[Canonical, Recognised]]] = {}
        for model in self.known:
            for entry in model.layout.canonical(model.family):
                side: Side = "in" if entry.at.inside is not None else entry.at.side
                self.canonical.setdefault((entry.module, side), []).append((entry, model))
        self._equal = Classes(pair for model in self.known for pair in self._equal_places(model))
        _kept[root] = self
        for module in self._names:
            _readings[module] = (*_readings_of(module), weakref.ref(self))

    def names_of(self, module: nn.Module) -> tuple[str, ...]:
        """The names of ``module`` in the tree."""
        return self._names.get(module, ())

    def true_names(self, name: str, seen: SeenModel) -> Iterator[tuple[str, bool]]:
        """What the tensor that is seen at the module ``name`` is called, and whether that is a part of it only."""
        for entry, _ in self.canonical.get((name, seen.side), ()):
            at = entry.at
            other = SeenModel(seen.side, at.item, at.part, at.inside)
            if seen.is_same_as(other) and (seen.part is None or at.part in (None, seen.part)):
                yield entry.name, seen.part is None and at.part is not None
        if name in self.foreign:
            for outer, known_as in self.foreign[name]:
                yield from ((below(outer, known_as), False), (known_as, False))
        elif seen.is_the_modules:
            for outer in ("", *(model.name for model in self.known if model.contains(name))):
                own = name[len(outer) :].removeprefix(".")
                yield f"{own}.hook_{seen.side}".removeprefix("."), False

    def _equal_places(self, model: Recognised) -> Iterator[tuple[_Place, _Place, bool]]:
        layout, places = model.layout, dict[str, _Place]()
        for path, module in layout.modules.items():
            if path.startswith(layout.base):
                for side in get_args(Side):
                    places[f"{path.removeprefix(layout.base)}.hook_{side}"] = (module, SeenModel(side))
        for entry in layout.canonical(model.family):
            at = entry.at
            if at.part is None:
                side = "in" if at.inside is not None else at.side
                places[entry.name] = (entry.module, SeenModel(side, at.item, None, at.inside).whole)
        for one, other, edits in equal_names(model.family, layout, places):
            yield places[one], places[other], edits

    def equal_names(self, name: str, seen: SeenModel) -> Iterator[tuple[str, bool]]:
        """The names of other places that carry the tensor seen at the module ``name``, and whether an edit there is one here."""
        if seen.part is None:
            for (other, there), edits in self._equal.of((name, seen.whole)):
                yield from ((known_as, edits) for known_as, part_only in self.true_names(other, there) if not part_only)

    def layer_of(self, name: str) -> int | None:
        """The layer of the module ``name``: as a family says it, else the number in the one list of layers on the way."""
        said = (model.layer_of(name) for model in self.known if model.contains(name))
        return next((layer for layer in said if layer is not None), next(iter(self._layers[name]), None))

    def families_at(self, name: str) -> Iterator[str]:
        """The families that know a model, or a part of one alone, around or inside the module ``name``."""
        yield from (model.family.name for model in self.known if _touches(name, model.name))
        for part, reference, family in self._parts:
            module = reference() if _touches(name, part) else None
            if module is not None and not _is_in_whole(module):
                yield family

    def is_whole_at(self, name: str) -> bool:
        """True if a whole model of a family contains the module ``name``."""
        return any(model.whole and model.contains(name) for model in self.known)

    def leaves_open(self) -> bool:
        """True if it has parts of a family's models, and nobody has seen the models that they belong to."""
        orphans = (reference() for _, reference, _ in self._parts)
        return any(part is not None and not _is_in_whole(part) for part in orphans)


_Place: TypeAlias = tuple[str, SeenModel]
"""A module's name, and what is seen at it."""
_kept: MutableMapping[nn.Module, Reading] = weakref.WeakKeyDictionary()
"""The module at the top → its reading."""
_readings: MutableMapping[nn.Module, tuple[weakref.ref[Reading], ...]] = weakref.WeakKeyDictionary()
"""Module → the readings that it is in. Kept here, since a module must not carry anything of ours."""


def read_families(root: nn.Module, modules: Mapping[str, nn.Module]) -> Reading:
    """Read the tree below ``root`` with the families in force, and those that were in force when it was read before.

    :raises FamilyConflict: if two families give one name to two places.
    """
    before = _kept.get(root)
    known = {} if before is None else {family.name: family for family in before.families}
    families = known | {family.name: family for family in families_in_force()}
    return Reading(root, modules, [families[name] for name in sorted(families)])


def place_at(module: nn.Module, seen: SeenModel) -> Place:
    """The place of a tensor at ``module``, with its names under every tree that was read and is alive."""
    names: dict[str, bool] = {}
    equal: dict[str, bool] = {}
    families, layers = set[str](), []
    whole = open_ = False
    for reading in _by_reach(module):
        for name in reading.names_of(module):
            for known_as, part_only in reading.true_names(name, seen):
                names[known_as] = names.get(known_as, True) and part_only
            for known_as, edits in reading.equal_names(name, seen):
                equal[known_as] = equal.get(known_as, False) or edits
            families.update(reading.families_at(name))
            layers.append(reading.layer_of(name))
            whole = whole or reading.is_whole_at(name)
        open_ = open_ or reading.leaves_open()
    certain = whole or not open_
    return Place(
        names=tuple([name for name, part_only in names.items() if not part_only]),
        others=(
            *(name for name, part_only in names.items() if part_only),
            *(name for name, edits in equal.items() if not edits and name not in names),
        ),
        equal=tuple([name for name in equal if name not in names]),
        layer=next((layer for layer in layers if layer is not None), None) if certain else None,
        families=tuple(sorted(families)),
        certain=certain,
    )


def equal_points(root: nn.Module, points: Sequence[str]) -> dict[str, list[str]]:
    """Which of the points of a model with points of its own are equal places, as the families that recognise it say."""
    pairs: list[tuple[str, str, bool]] = []
    for family in families_in_force():
        if family.matches(root):
            layout = Layout.read(root, family, [name for name, _ in root.named_modules()])
            pairs += [] if layout is None else equal_names(family, layout, points)
    classes = Classes(pairs)
    return {name: [other for other, edits in classes.of(name) if edits] for name in points}


def families_of(root: nn.Module) -> list[str]:
    """The families that recognise ``root``, or a module below it; sorted."""
    families = families_in_force()
    kinds = _Kinds(families)
    found = {family.name for module in root.modules() for family, _, _ in kinds.of(module)}
    return sorted(found | {family.name for family in families if family.matches(root)})


def _by_reach(module: nn.Module) -> list[Reading]:
    """The living readings that ``module`` is in, those with a whole model around it first."""
    living = [reading for reference in _readings_of(module) if (reading := reference()) is not None]
    return sorted(living, key=lambda reading: not any(map(reading.is_whole_at, reading.names_of(module))))


def _readings_of(module: nn.Module) -> list[weakref.ref[Reading]]:
    return [reference for reference in _readings.get(module, ()) if reference() is not None]


def _is_in_whole(module: nn.Module) -> bool:
    return any(
        any(map(reading.is_whole_at, reading.names_of(module)))
        for reference in _readings_of(module)
        if (reading := reference()) is not None
    )


class _Kinds:
    """Which families know modules of a class with a configuration; asked once for each pair."""

    def __init__(self, families: Sequence[Family]) -> None:
        self.families = families
        self.layers = [(family.name, paths) for family in families if (paths := in_a_layer(family))]
        self._known: dict[tuple[type, int, bool], list[tuple[Family, int, int]]] = {}

    def of(self, module: nn.Module) -> list[tuple[Family, int, int]]:
        """Each family with its rank, and how surely: 2 by the class, 1 by a configuration of its own, 0 by one that it lends."""
        config = config_of(module)
        if config is None and getattr(module, "cfg", None) is None:
            return []
        own = "config" in vars(module)
        key = (type(module), id(config), own)
        if key not in self._known:
            self._known[key] = [(family, *found) for family in self.families if (found := family.rank(module, own=own))]
        return self._known[key]


def _whole_models(modules: Mapping[str, nn.Module], kinds: _Kinds) -> Iterator[Recognised]:
    """Each family's models: by class, else by configuration; if no family knows one so, by structure."""
    candidates: dict[str, tuple[Family, list[tuple[str, int, int]]]] = {}
    for name, module in modules.items():
        for family, rank, sure in kinds.of(module):
            candidates.setdefault(family.name, (family, []))[1].append((name, rank, sure))
    found: list[Recognised] = []
    for family, places in candidates.values():
        chosen: list[Recognised] = []
        for name, rank, _ in sorted(places, key=lambda place: -place[2]):
            if not any(_touches(name, other.name) for other in chosen):
                model = _recognised(family, name, rank, modules)
                chosen += [] if model is None else [model]
        found += chosen
    yield from sorted(found, key=_by_specialty) or _by_structure(modules, kinds)


def _by_specialty(model: Recognised) -> tuple[int, int, str]:
    """The families of the nearest kind first; of these, the one with the fewest kinds."""
    return model.rank, len(model.family.model_types), model.family.name


def _by_structure(modules: Mapping[str, nn.Module], kinds: _Kinds) -> Iterator[Recognised]:
    fitting: list[tuple[int, Recognised]] = []
    for family in kinds.families:
        layout = Layout.read(modules[""], family, modules)
        if layout is not None and (size := fits(layout, family)):
            name = layout.base.removesuffix(".")
            full = layout.modules.get(name, name)
            model = _recognised(family, full, len(kinds.families), modules)
            fitting += [] if model is None else [(size, model)]
    most = max((size for size, _ in fitting), default=0)
    yield from (model for size, model in fitting if size == most)


def _recognised(family: Family, name: str, rank: int, modules: Mapping[str, nn.Module]) -> Recognised | None:
    below = [other for other in modules if _inside(other, name)]
    layout = Layout.read(modules[name], family, below, name)
    if layout is None:
        return None
    told = getattr(config_of(modules[name]), "num_hidden_layers", None)
    anchor = layout.find(family.anchor)
    there = 0 if anchor is None else sum(other.rpartition(".")[0] == anchor for other in below)
    return Recognised(family, name, layout, rank, not isinstance(told, int) or told == there)


def _parts(modules: Mapping[str, nn.Module], kinds: _Kinds, known: Sequence[Recognised]) -> Iterator[tuple[str, str]]:
    """The outermost modules outside of whole models that a family knows, each with the family's name."""
    last: str | None = None
    for name, module in modules.items():
        if last is not None and _inside(name, last):
            continue
        if any(model.contains(name) and model.whole for model in known):
            continue
        if any(model.whole and _inside(model.name, name) for model in known):
            continue
        families = {family.name for family, _, _ in kinds.of(module)}
        families |= {model.family.name for model in known if model.name == name}
        families = families or _whose_layer(name, modules, kinds)
        if families:
            last = name
            yield from ((name, family) for family in sorted(families))


def _whose_layer(name: str, modules: Mapping[str, nn.Module], kinds: _Kinds) -> set[str]:
    """The families whose layers consist of what the module ``name`` consists of; of these, those that a configuration names."""
    fitting = {family for family, paths in kinds.layers if holds(name, paths, modules)}
    if not fitting:
        return fitting
    below = (module for other, module in modules.items() if _inside(other, name))
    named = {family.name for module in below for family, _, _ in kinds.of(module)}
    return fitting & named or fitting


def _inside(name: str, of: str) -> bool:
    return not of or name == of or name.startswith(f"{of}.")


def _touches(name: str, other: str) -> bool:
    return _inside(name, other) or _inside(other, name)
