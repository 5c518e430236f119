"""The hook point: the identity with a name. Functions attached here see and may replace what passes through.

This file is the one door: :meth:`HookPoint.detach` and :func:`attach` are the only code that changes which functions a
point runs, and everything :func:`attach` adds has passed one admission.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from torch.compiler import is_dynamo_compiling
from torch.utils.hooks import RemovableHandle

from hookframe.admission.controller import current_controller
from hookframe.admission.request import Direction, Route
from hookframe.core.admitting import Admitted, admit, describe, next_operation
from hookframe.core.belonging import BelongsToModels
from hookframe.core.carried import CarriedHook, CarriedTorchHook, NotAdmitted, carry, carry_torch, revive
from hookframe.core.fitting import directions, fits
from hookframe.core.gradients import TAP
from hookframe.core.handles import Attachment, HandleList, HookHandle
from hookframe.core.planning import plan_attachment
from hookframe.core.removing import detach_all, review_removal, tell_removed
from hookframe.core.scope import ScopedStep
from hookframe.core.torch_hooks import TorchAttachment, without_torch_hooks
from hookframe.errors import InvalidHookFunction

if TYPE_CHECKING:
    from hookframe.core.named_model import NamedModel
    from hookframe.core.types import HookConversion, HookFunction

__all__ = ["HookPoint", "attach"]

_lock = threading.RLock()  # held while the tuples of points change; running models read them without it
_TRANSIENT = ("_plan", "_fwd", "_bwd", "_roots")


class HookPoint(BelongsToModels):
    """A named place in a model: ``x = self.hook_mlp_out(x)`` returns ``x`` unless a hook function replaces it.

    :ivar name: the dotted name that the model's ``setup()`` gave; None before.
    :ivar ctx: a dict for hook functions to keep things in.
    :ivar hook_conversion: converts the tensor for hook functions, and back what they return; or None.
    :ivar backward_scale: factor on the ``.sum()`` of the gradients that backward hook functions see.
    :ivar pos_dim: which dimension of the tensor is the position; None to go by the name.
    """

    ctx: dict[Any, Any]
    hook_conversion: HookConversion | None
    _plan: tuple[Any, ...] | None  # what a call runs; None: nothing
    _fwd: tuple[Attachment, ...]
    _bwd: tuple[Attachment, ...]
    _own_forward: ClassVar[bool] = False  # a subclass has a forward of its own
    _listens: ClassVar[bool] = False  # a subclass wants to know when it gets something to run
    _call_module: bool  # torch's own hooks, or a subclass's forward, have to run as well

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._own_forward = cls.forward is not HookPoint.forward
        cls._listens = cls.becomes is not HookPoint.becomes

    def __init__(self) -> None:
        super().__init__()
        self.ctx = {}
        self.name = None
        self.given_name = None
        self.hook_conversion = None
        self.backward_scale = 1.0
        self.pos_dim: int | None = None
        self._start_empty()

    def _start_empty(self) -> None:
        self.__dict__.update(_roots=())
        self._replace((), ())

    def __call__(self, x: Any) -> Any:
        """Pass ``x`` through the attached functions; ``x`` itself if there are none."""
        plan = self._plan
        if plan is None:
            return x
        return self._run(plan, x)

    def _run(self, plan: tuple[Any, ...], x: Any) -> Any:
        if self._call_module:
            x = super().__call__(x)
            if not is_dynamo_compiling() and not (self._own_forward or self._has_torch_hooks()):
                self._replace(self._fwd, self._bwd)  # the last of torch's hooks has gone
        for step in plan:
            x = step.fire(self, x)
        return x

    def forward(self, x: Any) -> Any:
        """Return ``x``: hook functions run when the point is called, not here."""
        return x

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
        :param level: a context level to be found under.
        :param prepend: put it before the hooks already there.
        :param alias_names: call the function once under each of these names instead.
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
            aliases=tuple(alias_names or ()),
        )
        attach([attachment], root=self.owner, route="hook_point", operation=next_operation())
        return attachment.handle

    def add_perma_hook(self, hook: HookFunction, dir: Direction = "fwd") -> HookHandle:
        """Attach ``hook`` as a permanent one; see :meth:`add_hook`."""
        return self.add_hook(hook, dir=dir, is_permanent=True)

    def _register(self, method: str, hook: Callable[..., Any], **options: Any) -> RemovableHandle:
        if not callable(hook):
            raise InvalidHookFunction(f"{describe(hook)} cannot be called: torch's hooks are functions")
        attachment = TorchAttachment(self, hook, method, options)
        attach([attachment], root=self.owner, route="torch", operation=next_operation())
        return cast("RemovableHandle", attachment.installed)

    @property
    def fwd_hooks(self) -> list[HookHandle]:
        """Handles of the forward hooks, in call order, as of now."""
        return HandleList([attachment.handle for attachment in self._fwd])

    @property
    def bwd_hooks(self) -> list[HookHandle]:
        """Handles of the backward hooks, in call order, as of now."""
        return HandleList([attachment.handle for attachment in self._bwd])

    @property
    def backward_attachments(self) -> tuple[Attachment, ...]:
        """The backward hooks themselves; a tuple that never changes, a new one takes its place."""
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
            yield from self.__dict__["_" + direction]

    def remove_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "fwd",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove the hooks that fit; ``level=None`` means any level.

        :raises HookDenied: if a plugin refuses to let go of permanent hooks or of those of an open context; all stay.
        """
        fitting = self.fitting(dir, including_permanent, level)
        root = self.owner
        controller = self.controller
        review_removal(fitting, root, controller, "remove_hooks")
        tell_removed(detach_all(fitting), root, controller, "remove_hooks")

    def fitting(self, dir: str, including_permanent: bool, level: int | None) -> list[Attachment]:
        """The attachments that a removal with these arguments would take."""
        return [a for a in self._attachments(directions(dir)) if fits(a, including_permanent, level)]

    def detach(self, attachment: Attachment) -> bool:
        """Take one hook off this point; False if it was not there. Asks and tells nobody."""
        if isinstance(attachment, TorchAttachment):
            return attachment.uninstall()
        with _lock:
            fwd, bwd = self._fwd, self._bwd
            if attachment in fwd:
                fwd = tuple(other for other in fwd if other is not attachment)
            elif attachment in bwd:
                bwd = tuple(other for other in bwd if other is not attachment)
            else:
                return False
            self._replace(fwd, bwd)
            attachment.detached = True
        return True

    def release(self, attachment: Attachment) -> None:
        """Remove one hook by its handle, and tell observers."""
        root = self.owner
        tell_removed(detach_all([attachment]), root, self.controller, "handle")

    def _replace(self, fwd: tuple[Attachment, ...], bwd: tuple[Attachment, ...]) -> None:
        steps = tuple(a if a.scope is None else ScopedStep(a, a.scope) for a in fwd)
        plan: tuple[Any, ...] | None = (*steps, TAP) if bwd else steps
        call_module = self._own_forward or self._has_torch_hooks()
        if not plan and not call_module:
            plan = None
        turns = self._listens and (self.__dict__.get("_plan") is None) is not (plan is None)
        if turns and plan is not None:
            self.becomes("active")  # first: if it raises, nothing was attached
        # not setattr: torch's costs microseconds
        self.__dict__.update(_fwd=fwd, _bwd=bwd, _plan=plan, _call_module=call_module)
        if turns and plan is None:
            self.becomes("idle")

    def becomes(self, state: Literal["active", "idle"]) -> None:
        """Called before the first function comes to this point, and after the last has gone; subclasses may listen.

        What it raises on ``"active"`` reaches whoever attaches; nothing was attached.
        """

    def why_silent(self) -> str | None:
        """What is known about why functions here may never run; subclasses may know something."""
        return None

    def synonyms(self, name: str | None) -> tuple[str, ...]:
        """Other names of what is at this point than ``name``; subclasses may have some."""
        return ()

    def _add(self, attachment: Attachment) -> None:
        fwd, bwd = self._fwd, self._bwd
        if isinstance(attachment, TorchAttachment):
            attachment.install()
            self._replace(fwd, bwd)
            return
        if attachment.direction == "fwd":
            fwd = (attachment, *fwd) if attachment.prepend else (*fwd, attachment)
        else:
            bwd = (attachment, *bwd) if attachment.prepend else (*bwd, attachment)
        self._replace(fwd, bwd)

    def layer(self) -> int:
        """The layer: the number in the second dotted part of the name (``blocks.3.hook_mlp_out`` → 3).

        :raises ValueError: if the point has no name, or none with a number in second place.
        """
        if self.name is None:
            raise ValueError("this hook point has no name, so no layer: call setup() on its model first")
        parts = self.name.split(".")
        if len(parts) < 2 or not parts[1].isdigit():
            raise ValueError(f"hook point {self.name!r} has no number in the second part of its name, so no layer")
        return int(parts[1])

    def clear_context(self) -> None:
        """Give the point a fresh, empty ``ctx``."""
        self.ctx = {}

    def enable_reshape(self, conversion: HookConversion | None = None) -> None:
        """Let hook functions see ``conversion.convert(tensor)``, and what they return through ``revert``."""
        self.hook_conversion = conversion

    def __repr__(self) -> str:
        counts = ((len(self._fwd), "fwd"), (len(self._bwd), "bwd"))
        parts = [f"name={self.name!r}"] if self.name is not None else []
        parts += [f"{count} {direction}" for count, direction in counts if count]
        return f"HookPoint({', '.join(parts)})"

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
            self.__dict__.update(_plan=(NotAdmitted(carried),))  # until the model, complete by then, admits them
        elif carried:
            attach(revive(self, carried), root=None, route="copy", operation=next_operation())

    def take_carried(self) -> list[Attachment]:
        """The hooks that came with a copy or a pickle and wait for admission; the point forgets them."""
        plan = self._plan
        if plan and isinstance(plan[0], NotAdmitted):
            self._replace(self._fwd, self._bwd)
            return revive(self, plan[0].carried)
        return []


def attach(
    attachments: Sequence[Attachment],
    *,
    root: NamedModel | None,
    route: Route,
    operation: int,
) -> Admitted:
    """Admit a batch, then attach all of it: the one door.

    :returns: what was attached, and what admission left out.
    :raises HookDenied: if the batch is refused; nothing was attached.
    :raises BaseException: whatever stops the attaching half-way; what was attached so far is off again.
    """
    controller = current_controller() if root is None else root.controller
    admitted = admit(attachments, root=root, controller=controller, route=route)
    done: list[Attachment] = []
    try:
        with _lock:
            for attachment in admitted.attachments:
                attachment.point._add(attachment)
                done.append(attachment)
        if done and controller.wants("hooks_added"):
            controller.notify(admitted.added_event(root, operation, route))
    except BaseException:
        detach_all(done)
        raise
    return admitted
