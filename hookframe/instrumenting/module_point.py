"""A hook point at the input or output of a module; the module does not know it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn

from hookframe.admission.place import NOWHERE, Place
from hookframe.admission.point_names import layer_in
from hookframe.core.model.hook_point import HookPoint
from hookframe.errors import HookPointMoved, InstrumentReleased
from hookframe.instrumenting.forward_counter import ForwardCounter
from hookframe.instrumenting.heads import HeadsApart, HeadsBehindPositions, put_part, take_part
from hookframe.instrumenting.picking import locate, put_argument, put_back, take, take_argument
from hookframe.instrumenting.place import Part
from hookframe.instrumenting.recognising import SeenModel, place_at
from hookframe.instrumenting.site import Site, sites_on

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Model
    from hookframe.instrumenting.place import At

__all__ = ["ModulePoint", "is_called", "points_at", "points_on", "pos_dim_of"]

_NO_POSITION = 1 << 16  # a dimension that no tensor has: position slices then store the tensor whole


def pos_dim_of(at: At) -> int:
    """The dimension of the position, as hook points have it; for a place without one, a dimension that no tensor has."""
    return _NO_POSITION if at.pos_dim is None else at.pos_dim


class ModulePoint(HookPoint):
    """A point at one side of one module.

    A torch hook is on the module while the point has something to run, and at no other time.

    :ivar site: where it is.
    :ivar module_name: the name of its module, ``""`` for the model itself.
    :ivar names: its names in its model, the canonical one first.
    :ivar at: the entry of the name map that made it; None for the module's own ``hook_in`` and ``hook_out``.
    """

    def __init__(self, site: Site, counter: ForwardCounter, at: At | None = None, *, heads: int | None = None) -> None:
        super().__init__()
        self.__dict__.update(
            site=site, counter=counter, at=at, heads=heads, names=(), module_name="", _parent=None, _released=False
        )
        self.item = None if at is None else at.item
        self.part: Part | None = None if at is None else at.part
        if at is not None:
            self.pos_dim = pos_dim_of(at)
            if at.heads is not None and heads is not None:
                self.hook_conversion = HeadsApart(heads)
            elif at.heads_first:
                self.hook_conversion = HeadsBehindPositions()
        site.add(self)

    site: Site
    counter: ForwardCounter
    at: At | None
    heads: int | None
    names: tuple[str, ...]
    module_name: str
    _parent: tuple[weakref.ref[nn.Module], str] | None
    _released: bool

    @property
    def call(self) -> int:
        """Which call of the module in the current forward of its model this is, from 0."""
        return self.counter.calls_of(self)

    @property
    def forward_index(self) -> int:
        """Which forward of the model this is, from 0 since something was first attached to one of its points."""
        return self.counter.forward

    def layer(self) -> int:
        """The layer: the first number among the dotted parts of the name.

        :raises ValueError: if the name has none.
        """
        number = layer_in(self.name or "")
        if number is None:
            raise ValueError(f"hook point {self.name!r} has no number in its name, so no layer")
        return number

    # ---- where it is ------------------------------------------------------------------------------------------------

    def move(self, site: Site, module_name: str, parent: nn.Module | None) -> None:
        """Record where the point's module is now; it may be another module than before."""
        before, moves = self.site, self.site is not site
        fed = moves and self._plan is not None
        if fed:
            self.disconnect()
        found_in = None if parent is None else (weakref.ref(parent), module_name.rpartition(".")[2])
        self.__dict__.update(site=site, module_name=module_name, _parent=found_in)
        if moves:
            before.discard(self)
            site.add(self)
            self.owners_forget()
        if fed:
            self.connect()

    def becomes(self, state: Literal["active", "idle"]) -> None:
        """Put the torch hook on the module, or take it off.

        :raises InstrumentReleased: if the instrument was released.
        """
        if state == "active":
            if self._released:
                raise InstrumentReleased(
                    f"hook point {self.name!r} was released: call hookframe.instrument(model) again"
                )
            self.connect()
            self.counter.hold()
        else:
            self.disconnect()
            self.counter.let_go()

    def connect(self) -> None:
        """Become fed."""
        self.site.join(self)

    def disconnect(self) -> None:
        """Be fed no longer."""
        self.site.leave(self)

    def retire(self) -> None:
        """Take no functions any more."""
        self.site.discard(self)
        self.__dict__["_released"] = True

    def why_silent(self) -> str | None:
        """The reason, for modules that are used without being called."""
        parent = None if self._parent is None else self._parent[0]()
        if not self.module_name:
            return (
                "it waits for a call of the model itself: call model(...) inside; model.forward(...) called directly, and "
                "a run of another model, pass it by"
            )
        here = self.site.module
        if here is not None and not is_called(here):
            return f"{self.module_name!r} only holds other modules and is never called: hook one of these"
        if isinstance(parent, nn.MultiheadAttention):
            outer = self.module_name.rpartition(".")[0]
            place = f"{outer}.hook_out" if outer else "hook_out"
            return (
                f"torch's MultiheadAttention uses the weight of {self.module_name!r} without calling it: hook {place!r}, "
                "which is what comes out of it"
            )
        return None

    # ---- several names, several instruments --------------------------------------------------------------------------

    def find_place(self) -> Place:
        """What every tree around the module, and every family that knows one, calls the tensor that is seen here."""
        module = self.site.module
        if module is None:
            return NOWHERE
        inside = None if self.at is None else self.at.inside
        found = place_at(module, SeenModel(self.site.side, self.item, self.part, inside))
        here = (name for point in (self, *self._neighbours()) for name in (*point.names, point.name))
        known = {None, *found.names}
        others = dict.fromkeys([*found.others, *(name for name in here if name not in known)])
        return replace(found, others=tuple(filter(None, others)))

    def other_owners(self, root: Model | None) -> list[Model]:
        """The living models but ``root`` that this point belongs to, and those with a point at the same place."""
        found = super().other_owners(root)
        if not self.site.crowded:
            return found
        for point in self._neighbours():
            owner = point.owner
            if owner is not None and owner is not root and all(owner is not other for other in found):
                found.append(owner)
        return found

    def _neighbours(self) -> Iterator[ModulePoint]:
        """Other points that see the same tensor, or one that this one's is a part of."""
        if self.site.crowded:
            mine = sorted((point for point in points_at(self.site) if point is not self), key=lambda point: point.names)
            yield from (point for point in mine if type(point) is type(self) and self._overlaps(point))

    def _overlaps(self, other: ModulePoint) -> bool:
        return self.item == other.item and (None in (self.part, other.part) or self.part == other.part)

    # ---- what passes ------------------------------------------------------------------------------------------------

    def pass_input(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the attached functions on one argument; returns the arguments to go on with."""
        self._still_there(module)
        key, whole = take_argument(args, kwargs, self.item)
        edited = self.through(whole)
        return (args, kwargs) if key is None or edited is whole else put_argument(args, kwargs, key, edited)

    def pass_output(self, module: nn.Module, output: Any) -> Any:
        """Run the attached functions on an output; returns the output to go on with."""
        self._still_there(module)
        if isinstance(output, torch.Tensor):
            if self.item is None is self.part:  # the usual case, as in through(), without one more Python call
                self.counter.count(self)
                return self(output)
            return self.through(output) if self.item in (None, 0) else output
        key = locate(output) if self.item is None else self.item
        if key is None:
            return output
        whole = take(output, key)
        edited = self.through(whole)
        return output if edited is whole else put_back(output, key, edited)

    def through(self, whole: Any) -> Any:
        """Run the attached functions on the point's part of one tensor; returns the tensor to go on with."""
        if not isinstance(whole, torch.Tensor):
            return whole
        self.counter.count(self)
        part = self.part
        if part is None:
            return self(whole)
        seen = take_part(whole, part, self.heads or 1)
        edited = self(seen)
        return whole if edited is seen else put_part(whole, part, self.heads or 1, edited)

    def check_place(self) -> None:
        """Check that the point's module is still where it was.

        :raises HookPointMoved: if it is not.
        """
        module = self.site.module
        if module is not None:
            self._still_there(module)

    def _still_there(self, module: nn.Module) -> None:
        found_in = self._parent
        if found_in is not None:
            parent = found_in[0]()
            if parent is not None and parent._modules.get(found_in[1]) is not module:
                raise HookPointMoved(
                    f"the module at hook point {self.name!r} was replaced since the hook was attached (by an adapter?), "
                    "and the hook would see what only a part of the new one computes: call hooked.setup() to move it"
                )


def is_called(module: nn.Module) -> bool:
    """False for a module that only holds others, such as a list of them: it has no ``forward`` that could be called."""
    return getattr(module.forward, "__func__", module.forward) is not nn.Module.forward


def points_on(module: nn.Module) -> list[ModulePoint]:
    """Every point at either side of ``module``, of whichever instrument, in the order of their names."""
    found = {point for site in sites_on(module) for point in points_at(site)}
    return sorted(found, key=lambda point: point.names)


def points_at(site: Site) -> list[ModulePoint]:
    """Every living point at one side of a module, of whichever instrument."""
    return cast("list[ModulePoint]", site.points)  # a site knows of its points what it asks of them
