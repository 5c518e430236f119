"""Any torch model, with hook points around its modules."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from hookframe.admission.request import FunctionInfo
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.steps import lock as points_lock
from hookframe.core.model.copying import CarriedHook, carry, revive
from hookframe.core.model.names import select, unknown_point
from hookframe.core.model.tree import warn_of_lost_hooks
from hookframe.core.registration.admission import next_operation
from hookframe.core.registration.attach import attach, detach_all
from hookframe.core.torch_compat.dynamo import is_compiled_elsewhere
from hookframe.core.verbs.delegated import AppliesToModel
from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.errors import InstrumentReleased
from hookframe.instrumenting.charting import Chart, ChartedPoints
from hookframe.instrumenting.closing import Closing
from hookframe.instrumenting.family import Family
from hookframe.instrumenting.forward_counter import ForwardCounter
from hookframe.instrumenting.inert import without_inert
from hookframe.instrumenting.module_point import ModulePoint, points_at
from hookframe.instrumenting.naming import Layout

if TYPE_CHECKING:
    from hookframe.core.registration.batch import Batch
    from hookframe.core.values.protocols import Model
    from hookframe.core.values.types import NamesFilter

__all__ = ["InstrumentedModel"]


class InstrumentedModel(HookedRootModule):
    """Hook points on ``wrapped``, which is neither copied nor changed; made by :func:`hookframe.instrument`.

    Every attribute that is not one of hookframe's verbs (``generate``, ``config``, parameters, the state dict,
    ``train()`` …) is the wrapped model's own. As a context manager it is released at the end.

    :ivar wrapped: the model.
    """

    wrapped: nn.Module
    _chart: Chart
    _closing: Closing
    _released: bool

    def __init__(self, model: nn.Module, family: Family | None, chosen: NamesFilter = None) -> None:
        super().__init__()
        itself = weakref.ref(self)
        counter = ForwardCounter(model, lambda: _begin(itself()))
        chart = Chart(model, family, counter)
        # not setattr: the model is no child, and must not be named or found as one
        self.__dict__.update(wrapped=model, _chart=chart, _closing=Closing(chart))
        self.__dict__.update(_chosen=chosen, _released=False)
        self.setup()

    @property
    def family(self) -> Family | None:
        """The family that the user gave, else the first that recognises the model, or a model in it; None if there is none."""
        return self._chart.family or next((family for family, _, _ in self._chart.models), None)

    @property
    def families_with_models(self) -> Sequence[tuple[Family, nn.Module]]:
        """Each family with the model that it recognised, which may lie inside of wrappers; the one that the user gave comes first."""
        return [(family, model) for family, _, model in self._chart.models]

    @property
    def layouts(self) -> Sequence[tuple[Family, Layout]]:
        """Each family with its layout of the model that it recognised."""
        return [(family, layout) for family, layout, _ in self._chart.models]

    @property
    def recognised_model(self) -> nn.Module:
        """The model that a family recognised, inside of wrappers perhaps; the wrapped one if none did."""
        known = self._chart.reading.known
        return self._chart.modules[known[0].name] if known else self.wrapped

    def families_around(self) -> tuple[str, ...]:
        """The families that recognise the model, or a model in it."""
        return tuple(sorted({model.family.name for model in self._chart.reading.known}))

    # ---- points -----------------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Read the model's modules again; points keep their functions and follow the modules that carry their names.

        Each verb, and each run through this object, notices that modules were replaced while hooks were attached, by
        an adapter for example.
        """
        self._check_released()
        gone = self._chart.read()
        points = self._chart.points
        if self._chosen is not None:
            chosen = {id(point) for _, point, _ in select(self._chosen, points)}
            points = {name: point for name, point in points.items() if id(point) in chosen}
        modules = {name: module for name, module in self._chart.modules.items() if name}
        self.__dict__.update(hook_dict=points, mod_dict=modules, _tree=ChartedPoints(points, modules, self._chart))
        for point in self.hook_points():
            point.belong_to(self)
        self._drop(gone)
        self._ask_again()

    def _ask_again(self) -> None:
        """Ask about hooks at the same places that were attached when this model was not known.

        :raises HookDenied: if they are refused; they are off again.
        """
        crowded = (point.site for point in self._chart.points.values() if point.site.crowded)
        others = dict.fromkeys(other for site in crowded for other in points_at(site) if self._knew_less(other.owner))
        if hooks := [a for other in others for a in other.fitting("both", True, None)]:
            self.admit_again(hooks)

    def _knew_less(self, owner: Model | None) -> bool:
        return isinstance(owner, InstrumentedModel) and owner.wrapped is not self.wrapped

    def _drop(self, gone: dict[str, ModulePoint]) -> None:
        lost = [a for point in dict.fromkeys(gone.values()) for a in point.fitting("both", True, None)]
        detach_all(lost)
        if lost:
            warn_of_lost_hooks([f"{FunctionInfo.of(each.user_hook)} at {each.shown_name!r}" for each in lost])

    def refresh(self, names_filter: NamesFilter = None) -> None:
        """Read the modules again if any was added, replaced or deleted.

        :raises InstrumentReleased: if the instrument was released.
        """
        self._check_released()
        if not (self._chart.is_current and self._chart.knows_families()):
            self.setup()

    def _check_released(self) -> None:
        if self._released:
            raise InstrumentReleased(
                f"the hook points on this {type(self.wrapped).__name__} were released: call hookframe.instrument(model) again"
            )

    def name_of(self, point: nn.Module) -> str | None:
        """The name of ``point`` here, or of this model's point at the same place; None if there is none."""
        points: dict[str, ModulePoint] = self.__dict__["hook_dict"]
        for other in points.values():
            if other is point:
                return other.name
        if isinstance(point, ModulePoint):
            for other in points.values():
                if other.site is point.site and other.at == point.at:
                    return other.name
        return None

    def ask_own_check(self, attachment: Attachment, name: str) -> None:
        """Refuse points inside of compiled modules; leave out points whose gate is closed, if a filter swept them up."""
        super().ask_own_check(attachment, name)
        self._closing.refuse(attachment, name)

    def asks_about(self, batch: Batch) -> bool:
        """True if hooks are checked one by one: the model has a check of its own, or a point may be closed."""
        own = type(self).ask_own_check is not InstrumentedModel.ask_own_check or self.overrides_check
        return own or self._closing.may_refuse(batch)

    def names_of(self, name: str) -> tuple[str, ...]:
        """Every name of the point called ``name``, the canonical one first.

        :raises UnknownHookPoint: if there is none of that name.
        """
        self.refresh(name)
        if name not in self.hook_dict:
            raise unknown_point(name, self.hook_dict)
        return self._chart.points[name].names

    @property
    def forward_module(self) -> nn.Module:
        """The wrapped model: its ``generate`` calls it, and not this object."""
        return self.wrapped

    def synonyms_of(self, name: str) -> tuple[str, ...]:
        """Other names of the point called ``name``; none if there is no such point."""
        point = self._chart.points.get(name)
        return () if point is None else tuple(other for other in point.names if other != name)

    @property
    def active_points(self) -> tuple[str, ...]:
        """Names of the points that have something to run now; their modules carry a torch hook, and no others do."""
        return tuple(str(point.name) for point in self.hook_points() if point.has_hooks())

    @property
    def forward_index(self) -> int:
        """Which forward of the model runs in this thread, or ran last, from 0 since something was first attached; -1 before."""
        return self._chart.counter.forward

    def must_have_run(self, attachments: Sequence[Attachment]) -> bool:
        """True if hooks were asked for at the model's own input or output: only a call of the model fires these.

        A direct call of its ``.forward()`` passes them by unseen. Code that was compiled earlier passes all hooks by.
        """
        points = [a.point for a in attachments if a.exact and isinstance(a.point, ModulePoint)]
        return any(not point.module_name for point in points) or (bool(points) and is_compiled_elsewhere(self.wrapped))

    # ---- the end ----------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Take every function off, and leave the model as it was before; a second call does nothing.

        :raises HookDenied: if a plugin refuses to let permanent hooks go; nothing was removed.
        """
        if self._released:
            return
        self._remove("both", True, None, "reset_hooks")
        for point in set(self._chart.points.values()):
            point.retire()
        self.__dict__["_released"] = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    # ---- the model's own --------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model."""
        if not self.__dict__.pop("_looked", False) and not self._released and not self._chart.is_current:
            self.setup()
        self.__dict__["_read"] = True
        return self.wrapped(*args, **kwargs)

    def run_at_once(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the model; its modules were just read."""
        self.__dict__["_looked"] = True
        try:
            return self(*args, **kwargs)
        finally:
            self.__dict__.pop("_looked", None)

    def __getattr__(self, name: str) -> Any:
        wrapped = self.__dict__.get("wrapped")
        if wrapped is None:
            return super().__getattr__(name)
        return getattr(wrapped, name)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        self.wrapped._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch
        return self

    def apply(self, fn: Any) -> Any:
        """As ``torch.nn.Module.apply``, on the wrapped model; for a plan of hooks, ``apply_plan``."""
        if isinstance(fn, AppliesToModel):
            return self.apply_plan(fn)
        self.wrapped.apply(fn)
        return self

    def train(self, mode: bool = True) -> Self:
        """As ``torch.nn.Module.train``, on the wrapped model."""
        self.wrapped.train(mode)
        return self

    @property
    def training(self) -> bool:
        """Whether the wrapped model is in training mode."""
        wrapped: nn.Module | None = self.__dict__.get("wrapped")
        return True if wrapped is None else wrapped.training

    @training.setter
    def training(self, value: bool) -> None:
        """Ignore the value: the wrapped model has its own."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The wrapped model's state dict."""
        return self.wrapped.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load the wrapped model's state dict."""
        return self.wrapped.load_state_dict(*args, **kwargs)

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Module]]:
        """The wrapped model's modules."""
        yield from self.wrapped.named_modules(*args, **kwargs)

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """The wrapped model's children."""
        return self.wrapped.named_children()

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (self.wrapped, self._chart.family, self._chosen, carried_hooks(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> InstrumentedModel:
        make, facts = self.__reduce__()
        with points_lock:  # other threads change torch's tables on the modules while they attach and remove
            own = copy.deepcopy(facts, memo)
        return make(*own)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        kind = type(self.wrapped).__name__
        family = "" if self.family is None else f" of family {self.family.name!r}"
        state = (
            "released" if self._released else f"{len(self.hook_dict)} names of {len(list(self.hook_points()))} points"
        )
        return f"<hook points on a {kind}{family}: {state}>"


def _begin(hooked: InstrumentedModel | None) -> None:
    """Note that the wrapped model begins to run, however it was called.

    :raises HookPointMoved: if that was not through the instrument, and a module with a hook is no longer in the model.
    """
    if hooked is None:
        return
    hooked.__dict__["_ran"] = True
    hooked.look_at_export()
    if not hooked.__dict__.pop("_read", False) and not hooked._chart.is_current:
        for point in hooked.hook_points():
            if isinstance(point, ModulePoint) and point.has_hooks():
                point.check_place()


def carried_hooks(hooked: InstrumentedModel) -> dict[str, list[CarriedHook]]:
    """What a copy or a pickle of ``hooked`` takes along: point's name → its hooks, not those of contexts and caches."""
    points = () if hooked._released else hooked.hook_points()
    found = {str(point.name): carry(point.fitting("both", True, None)) for point in points}
    return {name: hooks for name, hooks in found.items() if hooks}


def rebuild(
    model: nn.Module, family: Family | None, chosen: NamesFilter, carried: dict[str, list[CarriedHook]]
) -> InstrumentedModel:
    """Instrument a copy of a model, and attach the hooks that it brought, after admission.

    :raises HookDenied: if the hooks are refused here; there is no copy then.
    """
    without_inert(model)
    hooked = InstrumentedModel(model, family, chosen)
    planned = [a for name, hooks in carried.items() for a in revive(hooked.hook_dict[name], hooks)]
    if planned:
        attach(planned, root=hooked, route="copy", operation=next_operation())
    return hooked
