"""The hook point: a named place in a model. Functions that are attached here see, and may replace, what passes through.

Every way of attaching goes through :func:`~hookframe.core.registration.attach.attach`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

from torch import nn
from torch.compiler import is_dynamo_compiling
from torch.utils.hooks import RemovableHandle

from hookframe.admission.controller import AdmissionController, current_controller
from hookframe.admission.place import NOWHERE, Place
from hookframe.admission.point_names import layer_in
from hookframe.admission.request import Direction
from hookframe.core.hooks.attachment import Attachment, HookHandle, directions, fits
from hookframe.core.hooks.handle_list import HandleList
from hookframe.core.hooks.steps import Cell, begin_tracing, expect_tracing, lock, plan_for, steps_in, store
from hookframe.core.hooks.torch_hook import AdmittedTorchHooks, TorchAttachment, without_torch_hooks
from hookframe.core.model.copying import CarriedHook, CarriedTorchHook, NotAdmitted, carry, carry_torch, revive
from hookframe.core.registration.admission import next_operation
from hookframe.core.registration.attach import attach, detach_all, review_removal, tell_removed
from hookframe.core.registration.planning import plan_attachment
from hookframe.core.torch_compat.dynamo import traced_as
from hookframe.core.values.text import describe
from hookframe.errors import InvalidHookFunction

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Model
    from hookframe.core.values.types import HookConversion, HookFunction

__all__ = ["HookPoint", "points_made"]

_PLANNED_WITH = ("name", "hook_conversion")  # planned hooks depend on these
_TRANSIENT = ("_origin", "_traced", "_bwd", "_roots")  # neither copied nor pickled


class _PointsMade:
    """Counts the hook points made in the process, and the modules put below one: as long as it stays, no model has a new one.

    If two threads count at once, one of the points may be missed, but never both.
    """

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


points_made = _PointsMade()


class HookPoint(AdmittedTorchHooks):
    """A named place in a model: ``x = self.hook_mlp_out(x)`` returns ``x`` unless a hook function replaces it.

    :ivar name: the dotted name that the model's ``setup()`` gave; None before.
    :ivar ctx: a dict for hook functions to keep things in.
    :ivar hook_conversion: converts tensors for hook functions, and what they return back again; or None.
    :ivar backward_scale: factor on the ``.sum()`` of the gradients that backward hook functions see.
    :ivar pos_dim: which dimension of the tensor is the position; None to go by the name.
    """

    # in the point itself: through its dict, each idle call would touch three more places in memory
    __slots__ = ("_cell",)

    name: str | None
    given_name: str | None
    ctx: dict[Any, Any]
    hook_conversion: HookConversion | None
    pos_dim: int | None
    _cell: Cell  # holds what a call runs, the forward hooks included
    _traced: Any  # the same, where torch.compile looks
    _bwd: tuple[Attachment, ...]
    _roots: tuple[weakref.ref[Model], ...]

    listens: ClassVar[bool] = False
    """True if a subclass overrides :meth:`becomes`."""
    _own_forward: ClassVar[bool] = False  # True if a subclass has a forward of its own

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._own_forward = cls.forward is not HookPoint.forward
        cls.listens = cls.becomes is not HookPoint.becomes

    def __init__(self) -> None:
        super().__init__()
        self.ctx = {}
        self.name = None
        self.given_name = None
        self.hook_conversion = None
        self.backward_scale = 1.0
        self.pos_dim = None
        self._start_empty()

    def _start_empty(self) -> None:
        points_made.number += 1
        cell = Cell()
        _set_cell(self, cell)
        self.__dict__.update(_roots=(), _origin=(weakref.ref(self), cell))
        expect_tracing(self)
        self._replace((), ())

    def __call__(self, x: Any) -> Any:
        """Pass ``x`` through the attached functions; return ``x`` itself if there are none."""
        plan = self._cell.plan
        if plan is None:
            return x
        return plan.fire(self, x)

    def call_module(self, x: Any) -> Any:
        """Run what torch runs: its own hooks, and a subclass's ``forward``."""
        x = super().__call__(x)
        if not is_dynamo_compiling() and not (self._own_forward or self._has_torch_hooks()):
            self._replace(self._fwd, self._bwd)  # the last of torch's hooks was removed
        return x

    def forward(self, x: Any) -> Any:
        """Return ``x``: hook functions run when the point is called, not here."""
        return x

    # ---- attaching and removing -----------------------------------------------------------------------------------------

    def add_hook(
        self,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
        alias_names: Sequence[str] | None = None,
    ) -> HookHandle:
        """Attach ``hook``, called as ``hook(tensor, hook=point)``.

        :param dir: ``"fwd"`` for the activation, ``"bwd"`` for the gradient with respect to it.
        :param is_permanent: leave it in place when hooks are reset, unless permanent ones are asked for.
        :param level: a context level, by which removals can select it.
        :param prepend: put it before the hooks already there.
        :param alias_names: call the function once under each of these names instead of the point's own; never, if there are none.
        :returns: the handle that removes it.
        :raises HookDenied: if the admission refuses; nothing was attached.
        :raises InvalidDirection: for any other ``dir``.
        :raises InvalidHookFunction: if ``hook`` cannot be called.
        """
        attachment = plan_attachment(
            self,
            hook,
            direction=dir,
            name=self.name,
            permanent=is_permanent,
            level=level,
            prepend=prepend,
            aliases=None if alias_names is None else tuple(alias_names),
        )
        attach([attachment], root=self.owner, route="hook_point", operation=next_operation())
        return attachment.handle

    def add_perma_hook(self, hook: HookFunction, dir: Direction = "fwd") -> HookHandle:
        """Attach ``hook`` as a permanent one; see :meth:`add_hook`."""
        return self.add_hook(hook, dir=dir, is_permanent=True)

    def remove_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "fwd",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove the hooks that fit; ``level=None`` means any level.

        Backward hooks of contexts that have ended are among them, as long as a graph would still call them.

        :raises HookDenied: if a plugin refuses to let go of permanent hooks or of those of an open context; all stay.
        """
        fitting = self.fitting(dir, including_permanent, level)
        if dir != "fwd":
            left = {a: None for owner, _ in self.owners() for a in owner.left_in_graphs()}
            fitting += [a for a in left if a.point is self and fits(a, including_permanent, level)]
        self.drop(fitting)

    def drop(self, attachments: list[Attachment]) -> None:
        """Remove these hooks of this point; as :meth:`remove_hooks`."""
        root, controller = self.owner, self.controller
        review_removal(attachments, root, controller, "remove_hooks")
        tell_removed(detach_all(attachments), root, controller, "remove_hooks")

    def release(self, attachment: Attachment) -> None:
        """Remove one hook by its handle, and tell observers."""
        root = self.owner
        tell_removed(detach_all([attachment]), root, self.controller, "handle")

    def _register(self, method: str, hook: Callable[..., Any], **options: Any) -> RemovableHandle:
        if not callable(hook):
            raise InvalidHookFunction(f"{describe(hook)} cannot be called: torch's hooks are functions")
        attachment = TorchAttachment(self, hook, method, options)
        attach([attachment], root=self.owner, route="torch", operation=next_operation())
        return cast("RemovableHandle", attachment.installed)

    # ---- looking at it --------------------------------------------------------------------------------------------------

    @property
    def fwd_hooks(self) -> list[HookHandle]:
        """Handles of the forward hooks, in call order: a live list, from which dropping a handle removes its hook."""
        return self._handles("fwd")

    @fwd_hooks.setter
    def fwd_hooks(self, handles: list[HookHandle]) -> None:
        HandleList(self, "fwd").keep(list(handles))

    @property
    def bwd_hooks(self) -> list[HookHandle]:
        """Handles of the backward hooks, in call order: a live list, as :attr:`fwd_hooks` is."""
        return self._handles("bwd")

    @bwd_hooks.setter
    def bwd_hooks(self, handles: list[HookHandle]) -> None:
        HandleList(self, "bwd").keep(list(handles))

    def _handles(self, direction: Direction) -> list[HookHandle]:
        if is_dynamo_compiling():  # which has the items of a list alone
            return [attachment.handle for attachment in self._attachments((direction,))]
        return HandleList(self, direction)

    @property
    def backward_attachments(self) -> tuple[Attachment, ...]:
        """The backward hooks themselves; each change makes a new tuple."""
        return self._bwd

    def has_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
        level: int | None = None,
    ) -> bool:
        """True if a hook is attached that fits; ``level=None`` means any level."""
        return any(fits(attachment, including_permanent, level) for attachment in self._attachments(directions(dir)))

    def _attachments(self, directions: Sequence[str] = ("fwd", "bwd")) -> Iterator[Attachment]:
        for direction in directions:
            yield from self._fwd if direction == "fwd" else self._bwd

    def fitting(self, dir: str, including_permanent: bool, level: int | None) -> list[Attachment]:
        """The attachments that a removal with these arguments would take."""
        return [a for a in self._attachments(directions(dir)) if fits(a, including_permanent, level)]

    def layer(self) -> int:
        """The layer: the number in the second dotted part of the name (``blocks.3.hook_mlp_out`` → 3).

        :raises ValueError: if the point has no name, or none with a number in second place.
        """
        if self.name is None:
            raise ValueError("this hook point has no name, so no layer: call setup() on its model first")
        layer = layer_in(self.name, slice(1, 2))
        if layer is None:
            raise ValueError(f"hook point {self.name!r} has no number in the second part of its name, so no layer")
        return layer

    def clear_context(self) -> None:
        """Give the point a fresh, empty ``ctx``."""
        self.ctx = {}

    def enable_reshape(self, hook_conversion: HookConversion | None = None) -> None:
        """Let hook functions see ``hook_conversion.convert(tensor)``, and what they return through ``revert``."""
        self.hook_conversion = hook_conversion

    def __repr__(self) -> str:
        counts = ((len(self._fwd), "fwd"), (len(self._bwd), "bwd"))
        parts = [f"name={self.name!r}"] if self.name is not None else []
        parts += [f"{count} {direction}" for count, direction in counts if count]
        return f"HookPoint({', '.join(parts)})"

    # ---- for subclasses -------------------------------------------------------------------------------------------------

    def becomes(self, state: Literal["active", "idle"]) -> None:
        """Called before the first hook is attached here, and after the last is removed; subclasses may listen.

        What it raises on ``"active"`` reaches the caller who attaches; nothing was attached.
        """

    def why_silent(self) -> str | None:
        """What is known about why functions here may never run; subclasses may know something."""
        return None

    # ---- its models and its name ----------------------------------------------------------------------------------------

    @property
    def owner(self) -> Model | None:
        """The model that named this point last and is still alive."""
        for reference in reversed(self._roots):
            root = reference()
            if root is not None:
                return root
        return None

    def owners(self, root: Model | None = None, name: str | None = None) -> Iterator[tuple[Model, str]]:
        """Each living model that this point belongs to, with its name there; ``root`` first, under ``name``."""
        if root is not None:
            yield root, name or self.name or ""
        for other in self.other_owners(root):
            yield other, other.name_of(self) or name or ""

    def other_owners(self, root: Model | None) -> list[Model]:
        """The living models that this point belongs to, other than ``root``."""
        roots = self._roots
        if len(roots) == 1 and roots[0]() is root:
            return []  # the case of nearly every point, and each point of a batch asks
        found = [reference() for reference in roots]
        return [owner for owner in found if owner is not None and owner is not root]

    @property
    def place(self) -> Place:
        """What every model that it belongs to calls this point, and what the families say of it."""
        owner = self.owner
        if owner is None:
            return NOWHERE if self.name is None else replace(NOWHERE, others=(self.name,))
        return owner.place_of(self)

    def find_place(self) -> Place:
        """As :attr:`place`, found anew."""
        owners = self.other_owners(None)
        names = tuple(dict.fromkeys(name for owner in reversed(owners) for name in owner.names_of_point(self)))
        given = () if self.name == self.given_name or self.name in (None, *names) else (str(self.name),)
        families, layer, equal = set[str](), None, dict[str, None]()
        for owner in reversed(owners):
            families.update(owner.families_around())
            layer = owner.layer_of(self) if layer is None else layer
            equal.update(dict.fromkeys(other for name in owner.names_of_point(self) for other in owner.equals_of(name)))
        return Place(
            names=names,
            others=given,
            equal=tuple([name for name in equal if name not in names]),
            layer=layer,
            families=tuple(sorted(families)),
            certain=bool(names),
        )

    def belong_to(self, root: Model) -> None:
        """Remember that ``root`` named this point."""
        others = tuple(reference for reference in self._roots if reference() not in (None, root))
        if others:
            self.owners_forget()
        self.__dict__["_roots"] = (*others, weakref.ref(root))

    def owners_forget(self, root: Model | None = None) -> None:
        """Let the models of this point plan anew and find its place again; ``root`` excepted."""
        for owner in self.other_owners(root):
            owner.forget_plans()

    def be_named(self, name: str) -> None:
        """Take ``name``, as a model's ``setup()`` gives it."""
        if name != self.name:
            self.owners_forget()
        self.__dict__.update(name=name, given_name=name)

    def name_in(self, name: str | None) -> str | None:
        """The name that hook functions see, where a model calls this point ``name``: that one, unless a user renamed it."""
        return name if self.name is None or self.name == self.given_name else self.name

    @property
    def controller(self) -> AdmissionController:
        """Who decides about hooks on this point now: its model's controller, else the process's."""
        root = self.owner
        return current_controller() if root is None else root.controller

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """As ``torch.nn.Module.add_module``; the models of this point notice it at their next operation."""
        super().add_module(name, module)
        points_made.number += 1

    def __setattr__(self, attribute: str, value: Any) -> None:
        super().__setattr__(attribute, value)
        own = self.__dict__
        if isinstance(value, nn.Module):
            points_made.number += 1  # its models look at all their modules then
        if attribute in _PLANNED_WITH and "_roots" in own:
            self.owners_forget()
        if attribute == "hook_conversion" and "_bwd" in own:
            for attachment in self._attachments():
                attachment.converts(value)

    # ---- what it runs ---------------------------------------------------------------------------------------------------

    @property
    def _plan(self) -> Any:
        return self._cell.plan

    @property
    def _fwd(self) -> tuple[Attachment, ...]:
        found = [getattr(step, "attachment", None) for step in steps_in(self._cell.plan)]
        return tuple([attachment for attachment in found if attachment is not None])

    def add_attachment(self, attachment: Attachment) -> None:
        """Attach one hook, which was admitted. Asks no controller and tells no observer."""
        fwd, bwd = self._fwd, self._bwd
        if isinstance(attachment, TorchAttachment):
            attachment.install()
            self._replace(fwd, bwd)
            return
        attachment.converts(self.hook_conversion)
        if attachment.direction == "fwd":
            fwd = (attachment, *fwd) if attachment.prepend else (*fwd, attachment)
        else:
            bwd = (attachment, *bwd) if attachment.prepend else (*bwd, attachment)
        self._replace(fwd, bwd)

    def detach(self, attachment: Attachment, ends: bool = True) -> bool:
        """Detach one hook; False if it was not there. Asks no controller and tells no observer.

        :param ends: False if the graphs of earlier forwards go on calling it.
        """
        if isinstance(attachment, TorchAttachment):
            return attachment.uninstall()
        with lock:
            if ends:
                attachment.generation = 0
            fwd, bwd = self._fwd, self._bwd
            if attachment in fwd:
                fwd = tuple(other for other in fwd if other is not attachment)
            elif attachment in bwd:
                bwd = tuple(other for other in bwd if other is not attachment)
            else:
                return False
            self._replace(fwd, bwd)
        return True

    def _replace(self, fwd: tuple[Attachment, ...], bwd: tuple[Attachment, ...]) -> None:
        self._take_up(plan_for(fwd, bwd, module=self._own_forward or self._has_torch_hooks()), bwd)

    def _take_up(self, plan: Any, bwd: tuple[Attachment, ...]) -> None:
        turns = self.listens and (self._plan is None) is not (plan is None)
        if turns and plan is not None:
            self.becomes("active")  # first: if it raises, nothing was attached
        store(self, plan)
        self.__dict__["_bwd"] = bwd  # not setattr: torch's costs microseconds
        if turns and plan is None:
            self.becomes("idle")

    # ---- copies and pickles of it ---------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key not in _TRANSIENT}
        carried = [*carry(self._attachments()), *carry_torch(self)]
        return without_torch_hooks(state) | {"_carried": carried, "_rooted": self.owner is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        carried: list[CarriedHook | CarriedTorchHook] = state.pop("_carried", [])
        rooted = state.pop("_rooted", False)
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch
        self._start_empty()
        if carried and rooted:
            store(self, NotAdmitted(carried))  # until the model is complete, and admits them
        elif carried:
            attach(revive(self, carried), root=None, route="copy", operation=next_operation())

    def __getattr__(self, name: str) -> Any:
        if name == "_cell":  # a copy was made of the point's dict, without the slot
            self._be_copied()
            return self._cell
        if name == "_traced":  # torch has loaded code that another process compiled
            begin_tracing()
            self.__dict__["_traced"] = self._plan
            return self._plan
        return super().__getattr__(name)

    def _replicate_for_data_parallel(self) -> Self:
        replica: Self = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]  # torch
        replica._be_copied()
        return replica

    def _be_copied(self) -> None:
        """Take a cell of its own, with what the point runs whose dict this one shares or has a copy of."""
        cell, own = Cell(), self.__dict__
        reference, running = own["_origin"]
        original, cell.plan = reference(), running.plan
        _set_cell(self, cell)
        if original is None or original.__dict__ is not own:
            own.update(_origin=(weakref.ref(self), cell), _traced=cell.plan)  # it may be the first point that is traced

    def take_carried(self) -> list[Attachment]:
        """The hooks that came with a copy or a pickle and wait for admission; the point forgets them."""
        plan = self._plan
        if isinstance(plan, NotAdmitted):
            self._replace(self._fwd, self._bwd)
            return revive(self, plan.carried)
        return []


_set_cell = cast("Callable[[HookPoint, Cell], None]", HookPoint.__dict__["_cell"].__set__)


def _traced_call(self: HookPoint, x: Any) -> Any:
    """What torch.compile traces when a point is called: it reads the dict, whose entries are the cheapest to guard."""
    begin_tracing()
    plan = self._traced
    return x if plan is None else plan.fire(self, x)


traced_as(_traced_call)(HookPoint.__call__)
