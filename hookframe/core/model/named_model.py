"""A model whose modules have names: the tree that ``setup()`` reads, and what the verbs need of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, cast
from weakref import WeakSet

import torch
from torch import nn

from hookframe.admission.above import above
from hookframe.admission.controller import AdmissionController, current_controller
from hookframe.admission.request import Direction
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.steps import lock
from hookframe.core.model.hook_point import HookPoint
from hookframe.core.model.names import Selected, Selection, select
from hookframe.core.model.tree import NamedTree, PointIndex
from hookframe.core.registration.admission import next_operation, review_device, review_or_raise
from hookframe.core.registration.attach import attach, detach_all
from hookframe.core.registration.batch import Batch
from hookframe.core.values.warn import warn_user
from hookframe.errors import HookDenied, HooksLostWarning, NotSetUp

if TYPE_CHECKING:
    from hookframe.admission.place import Place
    from hookframe.core.hooks.attachment import Graphs
    from hookframe.core.values.types import DeviceType, HookFunction, NamesFilter

__all__ = ["NamedModel"]

logger = logging.getLogger("hookframe")


class NamedModel(nn.Module):
    """What every verb builds on: names, points, the model's own check, and who decides.

    :ivar mod_dict: dotted name → module, for every module but the root.
    :ivar hook_dict: dotted name → hook point.
    :ivar context_level: how many ``hooks(...)`` contexts are open.
    :ivar admission_controller: who decides about hooks on this model; None for the process's own, which loads the
        installed plugins. It is not copied or pickled with the model.
    """

    mod_dict: dict[str, nn.Module]
    hook_dict: dict[str, HookPoint]
    context_level: int
    admission_controller: AdmissionController | None

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self.context_level = 0
        self.admission_controller = None

    @property
    def controller(self) -> AdmissionController:
        """Who decides about hooks on this model now."""
        return self.admission_controller or current_controller()

    @property
    def is_caching(self) -> bool:
        """True while a caching hook is attached to one of this model's points.

        It follows from the hooks, so setting it changes nothing; older models set it in their ``__init__``.
        """
        points = self.__dict__.get("hook_dict", {}).values()
        return any(a.caches for p in points if isinstance(p, HookPoint) for a in p.fitting("both", True, None))

    @is_caching.setter
    def is_caching(self, value: bool) -> None:
        """Accept and forget: see above."""

    def setup(self) -> None:
        """Name every module below this one, and fill ``mod_dict`` and ``hook_dict``. Can be called again.

        :raises HookDenied: if a hook that was attached before its point had this name is refused under it; all such hooks
            are detached.
        """
        self._go_by(NamedTree(self))

    def _go_by(self, tree: NamedTree) -> None:
        """Go by ``tree`` from here on."""
        before: NamedTree | None = self.__dict__.get("_tree")
        renamed = tree.hooked_under_a_new_name(before)
        tree.give_names()
        self.__dict__.update(_tree=tree, mod_dict=tree.modules, hook_dict=tree.points)
        points = self.hook_points()
        for point in points:
            point.belong_to(self)
            if before is not None:
                point.owners_forget(self)
        if renamed:
            self.admit_again([a for point in renamed for a in point.fitting("both", True, None)])
        self._admit_carried()
        if before is not None:
            tree.had_points |= before.had_points
            before.warn_of_lost(tree)

    def hook_points(self) -> Iterable[HookPoint]:
        """Every hook point once, in the model's order."""
        return list({id(point): point for point in self._points().values()}.values())

    def clear_contexts(self) -> None:
        """Give every point a fresh, empty ``ctx``."""
        for point in self.hook_points():
            point.clear_context()

    def left_in_graphs(self) -> list[Attachment]:
        """The backward hooks of contexts that have ended, which autograd graphs may still call."""
        graphs: WeakSet[Graphs] | None = self.__dict__.get("_graphs")
        if graphs is None:
            return []
        with lock:
            late = [each.late for each in graphs]
        return [a for one in late if one is not None for a in one.backward if a.generation]

    def leave_in_graphs(self, graphs: Graphs) -> None:
        """Remember an operation whose context has ended, as long as ``graphs`` lives."""
        with lock:
            self.__dict__.setdefault("_graphs", WeakSet()).add(graphs)

    def name_of(self, point: nn.Module) -> str | None:
        """The name of ``point`` in this model; None if it is not there."""
        tree: NamedTree | None = self.__dict__.get("_tree")
        return next(iter(self.names_of_point(point)), None) if tree is not None else None

    def names_of_point(self, point: nn.Module) -> tuple[str, ...]:
        """Every name that the tree of this model has for ``point``; names that a user put into ``hook_dict`` are none."""
        tree: NamedTree | None = self.__dict__.get("_tree")
        return () if tree is None else tree.names.get(id(point), ())

    def layer_of(self, point: HookPoint) -> int | None:
        """The number of ``point`` in the one list of layers on the way to it; None if there is none, or more than one."""
        tree: NamedTree | None = self.__dict__.get("_tree")
        return None if tree is None else tree.layer_of(point)

    def families_around(self) -> tuple[str, ...]:
        """The families in force that recognise this model, or a model in it; subclasses may know better."""
        tree: PointIndex | None = self.__dict__.get("_tree")
        if tree is None or tree.families is None:
            found = tuple(above("families_of", self))
            if tree is None:
                return found
            tree.families = found
        return tree.families

    def equals_of(self, name: str) -> Sequence[str]:
        """The points that carry the same tensor as the one called ``name``, as families say it."""
        tree: PointIndex | None = self.__dict__.get("_tree")
        if tree is None or not self.families_around():
            return ()
        if tree.equal is None:
            tree.equal = above("equal_points", self, list(tree.points))
        return tree.equal.get(name, ())

    def place_of(self, point: HookPoint) -> Place:
        """The place of ``point``, which belongs to this model; kept until a name or a model of it changes."""
        tree: PointIndex | None = self.__dict__.get("_tree")
        if tree is None:
            return point.find_place()
        if tree.asked is not (asked := current_controller()):  # whose plugins may provide other families
            tree.asked, tree.families, tree.equal, tree.places = asked, None, None, {}
        place = tree.places.get(id(point))
        if place is None:
            place = tree.places[id(point)] = point.find_place()
        return place

    def synonyms_of(self, name: str) -> tuple[str, ...]:
        """Other names of the point called ``name``; none if there is no such point. Subclasses may have some."""
        return ()

    def _points(self) -> dict[str, HookPoint]:
        try:
            return self.__dict__["hook_dict"]  # type: ignore[no-any-return]  # an instance's dict is untyped
        except KeyError:
            raise NotSetUp(
                f"{type(self).__name__} has no hook points yet: call self.setup() at the end of its __init__"
            ) from None

    def must_have_run(self, attachments: Sequence[Attachment]) -> bool:
        """True if an operation with these hooks is reported even if it saw no run of the model; subclasses may say so."""
        return False

    def select_points(self, names_filter: NamesFilter) -> list[Selected]:
        """The hook points that ``names_filter`` means, in the model's order.

        A module that was added, replaced or deleted since ``setup()`` is noticed here, and the tree read again.

        :raises UnknownHookPoint: if a name is not there, or a glob matches none.
        :raises NotAHookPoint: if a name is another kind of module's.
        :raises NotSetUp: if ``setup()`` was never called.
        """
        return list(self.selection(names_filter))

    def selection(self, names_filter: NamesFilter) -> Selection:
        """As :meth:`select_points`; the same object for the same points, as long as the tree is the same."""
        own = self.__dict__
        tree: PointIndex | None = own.get("_tree")
        if tree is None or tree.points is not own.get("hook_dict") or not tree.is_current():
            self.refresh(names_filter)
            return self._meaning(names_filter)
        selection = tree.selection(names_filter)
        return selection if selection.entries else self._meaning(names_filter)

    def selections(self, filters: Sequence[NamesFilter]) -> list[Selection]:
        """What each of ``filters`` means, after one check of the tree."""
        if len(filters) == 1:
            return [self.selection(filters[0])]
        if filters:
            self.refresh()
        return [self._meaning(names_filter) for names_filter in filters]

    def _meaning(self, names_filter: NamesFilter) -> Selection:
        tree = self.kept_tree
        if tree is None:
            selection = Selection(select(names_filter, self._points(), self.__dict__.get("mod_dict")))
        else:
            selection = tree.selection(names_filter)
        if not selection.entries:
            self._report_nothing(names_filter, tree)
        return selection

    def _report_nothing(self, names_filter: NamesFilter, tree: PointIndex | None) -> None:
        accepts = names_filter if callable(names_filter) else None
        lost = isinstance(tree, NamedTree) and tree.had_points and (accepts is None or any(map(accepts, tree.points)))
        if lost and (accepts is not None or names_filter is None):
            warn_user(
                f"no hook point that was asked for is in the {type(self).__name__} now, though it had some: other modules are "
                "in their places, or none; put the points back (model.hook_dict has those that were replaced)",
                HooksLostWarning,
            )
        elif accepts is not None:
            logger.warning("no hook point of %s has a name that the predicate accepts", type(self).__name__)

    @property
    def kept_tree(self) -> PointIndex | None:
        """The tree as ``setup()`` read it last; None if ``hook_dict`` is not what it read."""
        tree: PointIndex | None = self.__dict__.get("_tree")
        return tree if tree is not None and tree.points is self._points() else None

    def refresh(self, names_filter: NamesFilter = None) -> None:
        """Read the tree again if it has changed. A ``hook_dict`` that a user has set stays as it is."""
        tree = self.kept_tree
        if isinstance(tree, NamedTree) and not tree.is_current():
            NamedModel._go_by(self, NamedTree(self, tree))

    def run_at_once(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the model; its tree was checked a moment ago."""
        return self(*args, **kwargs)

    def forget_plans(self) -> None:
        """Drop the planned batches: a point has another name, conversion or model than before."""
        tree: PointIndex | None = self.__dict__.get("_tree")
        if tree is not None:
            tree.forget()

    @property
    def overrides_check(self) -> bool:
        """True if a subclass, or just this model, has a ``check_hooks_to_add`` of its own."""
        return (
            type(self).check_hooks_to_add is not NamedModel.check_hooks_to_add or "check_hooks_to_add" in self.__dict__
        )

    def asks_about(self, batch: Batch) -> bool:
        """True if this model, or another to which one of the points belongs, has to be asked about each hook of ``batch``."""
        kind = type(self)
        overrides = kind.check_hooks_to_add is not NamedModel.check_hooks_to_add
        return (
            batch.shared
            or overrides
            or kind.ask_own_check is not NamedModel.ask_own_check
            or "check_hooks_to_add" in self.__dict__
        )

    def check_hooks_to_add(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        prepend: bool = False,
    ) -> None:
        """Override this to refuse hooks, by raising. hookframe calls it on every route, before anything is attached.

        What it raises reaches the caller as it is, if the point was asked for by name; a point that a filter swept up
        is left out instead.
        """

    def ask_own_check(self, attachment: Attachment, name: str) -> None:
        """Ask :meth:`check_hooks_to_add` about one planned attachment, if it is overridden."""
        if self.overrides_check:
            self.check_hooks_to_add(
                cast("HookPoint", attachment.point),
                name,
                attachment.user_hook,
                dir=attachment.direction,
                is_permanent=attachment.permanent,
                prepend=attachment.prepend,
            )

    # ---- moving: each device is reviewed before anything moves --------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As ``torch.nn.Module.to``; an objection may name another device, which is then used."""
        device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
        chosen = review_device(self, device, "model", "to") if device is not None else None
        if chosen is None or chosen == device:
            return super().to(*args, **kwargs)
        options: dict[str, Any] = {} if memory_format is None else {"memory_format": memory_format}
        return super().to(device=chosen, dtype=dtype, non_blocking=non_blocking, **options)

    def to_empty(self, *, device: DeviceType, recurse: bool = True) -> Self:
        """As ``torch.nn.Module.to_empty``."""
        chosen = device if device is None else review_device(self, device, "model", "to")
        return super().to_empty(device=chosen, recurse=recurse)

    def cuda(self, device: int | torch.device | None = None) -> Self:
        """As ``torch.nn.Module.cuda``."""
        return self._move("cuda", device)

    def xpu(self, device: int | torch.device | None = None) -> Self:
        """As ``torch.nn.Module.xpu``."""
        return self._move("xpu", device)

    def mtia(self, device: int | torch.device | None = None) -> Self:
        """As ``torch.nn.Module.mtia``."""
        return self._move("mtia", device)

    def ipu(self, device: int | torch.device | None = None) -> Self:
        """As ``torch.nn.Module.ipu``."""
        return self._move("ipu", device)

    def cpu(self) -> Self:
        """As ``torch.nn.Module.cpu``."""
        return self._move("cpu", None)

    def _move(self, kind: str, device: int | torch.device | None) -> Self:
        if device is None:
            asked = torch.device(kind)
        else:
            asked = torch.device(kind, device) if isinstance(device, int) else device
        return super().to(device=review_device(self, asked, "model", "to"))

    # ---- copies and pickles --------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key not in ("_tree", "_ran", "_graphs")}
        return state | {"admission_controller": None, "context_level": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch
        if "hook_dict" in state:
            NamedModel.setup(self)

    def admit_again(self, attached: list[Attachment]) -> None:
        """Review hooks again that were admitted when their points had fewer names, or none.

        :raises HookDenied: if they are refused; they are detached.
        """
        requests = Batch((attached,), "hook_point").requests
        try:
            review_or_raise(self.controller.review_hooks(requests, self))
        except HookDenied:
            detach_all(attached)
            raise

    def _admit_carried(self) -> None:
        """Attach the hooks that came with a copy or a pickle of this model, after admission."""
        carried = [a for point in self.hook_points() for a in point.take_carried()]
        if carried:
            attach(carried, root=self, route="copy", operation=next_operation())
