"""The hook point: the identity with a name. Functions attached here see and may replace what passes through.

This file is the one door: :meth:`HookPoint.detach` and :func:`attach` are the only code that changes which functions a
point runs, and everything :func:`attach` adds has passed one admission.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from torch.compiler import is_dynamo_compiling
from torch.utils.hooks import RemovableHandle

from hookframe.admission.controller import AdmissionController, current_controller
from hookframe.admission.request import Direction, Route
from hookframe.core.admitting import Admitted, admit, next_operation
from hookframe.core.batch import Batch
from hookframe.core.carried import CarriedHook, CarriedTorchHook, NotAdmitted, carry, carry_torch, revive
from hookframe.core.cells import Cell, Origin
from hookframe.core.describing import describe
from hookframe.core.handles import Attachment, HookHandle
from hookframe.core.placing import begin_tracing, expect_tracing
from hookframe.core.placing import lock as _lock
from hookframe.core.placing import put as _put
from hookframe.core.placing import store as _store
from hookframe.core.planning import plan_attachment
from hookframe.core.point_removing import RemovablePoint
from hookframe.core.points_made import points_made
from hookframe.core.removing import detach_all
from hookframe.core.steps import plan_for
from hookframe.core.torch_hooks import TorchAttachment, without_torch_hooks
from hookframe.core.tracing import traced_as
from hookframe.errors import InvalidHookFunction

if TYPE_CHECKING:
    from hookframe.core.named_model import NamedModel
    from hookframe.core.types import HookFunction

__all__ = ["HookPoint", "attach"]

_TRANSIENT = ("_origin", "_traced", "_bwd", "_roots")


class HookPoint(RemovablePoint):
    """A named place in a model: ``x = self.hook_mlp_out(x)`` returns ``x`` unless a hook function replaces it.

    :ivar name: the dotted name that the model's ``setup()`` gave; None before.
    :ivar ctx: a dict for hook functions to keep things in.
    :ivar hook_conversion: converts the tensor for hook functions, and back what they return; or None.
    :ivar backward_scale: factor on the ``.sum()`` of the gradients that backward hook functions see.
    :ivar pos_dim: which dimension of the tensor is the position; None to go by the name.
    """

    __slots__ = ("_cell",)  # found in the point itself: its dict is three more places in memory, for each idle call

    _own_forward: ClassVar[bool] = False  # a subclass has a forward of its own

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
        self.pos_dim: int | None = None
        self._start_empty()

    def _start_empty(self) -> None:
        points_made.number += 1
        cell = Cell()
        _set_cell(self, cell)
        self.__dict__.update(_roots=(), _origin=Origin(self, cell))
        expect_tracing(self)
        self._replace((), ())

    def __call__(self, x: Any) -> Any:
        """Pass ``x`` through the attached functions; ``x`` itself if there are none."""
        plan = self._cell.plan
        if plan is None:
            return x
        return plan.fire(self, x)

    def call_module(self, x: Any) -> Any:
        """Run what torch runs: its own hooks, and a subclass's ``forward``."""
        x = super().__call__(x)
        if not is_dynamo_compiling() and not (self._own_forward or self._has_torch_hooks()):
            self._replace(self._fwd, self._bwd)  # the last of torch's hooks has gone
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

    def __setattr__(self, attribute: str, value: Any) -> None:
        super().__setattr__(attribute, value)
        if attribute == "hook_conversion" and "_bwd" in self.__dict__:
            for attachment in self._attachments():
                attachment.converts(value)

    def _register(self, method: str, hook: Callable[..., Any], **options: Any) -> RemovableHandle:
        if not callable(hook):
            raise InvalidHookFunction(f"{describe(hook)} cannot be called: torch's hooks are functions")
        attachment = TorchAttachment(self, hook, method, options)
        attach([attachment], root=self.owner, route="torch", operation=next_operation())
        return cast("RemovableHandle", attachment.installed)

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
            attachment.run = 0
        return True

    def _replace(self, fwd: tuple[Attachment, ...], bwd: tuple[Attachment, ...]) -> None:
        self._take_up(plan_for(fwd, bwd, module=self._own_forward or self._has_torch_hooks()), bwd)

    def _take_up(self, plan: Any, bwd: tuple[Attachment, ...]) -> None:
        turns = self.listens and (self._plan is None) is not (plan is None)
        if turns and plan is not None:
            self.becomes("active")  # first: if it raises, nothing was attached
        _store(self, plan)
        self.__dict__["_bwd"] = bwd  # not setattr: torch's costs microseconds
        if turns and plan is None:
            self.becomes("idle")

    def _add(self, attachment: Attachment) -> None:
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
            _store(self, NotAdmitted(carried))  # until the model, complete by then, admits them
        elif carried:
            attach(revive(self, carried), root=None, route="copy", operation=next_operation())

    def __getattr__(self, name: str) -> Any:
        if name == "_cell":  # somebody has copied the point's dict, and knows of nothing else
            self._be_copied()
            return self._cell
        if name == "_traced":  # code that was compiled in another process is loaded
            begin_tracing()
            self.__dict__["_traced"] = self._plan
            return self._plan
        return super().__getattr__(name)

    def _replicate_for_data_parallel(self) -> Self:
        replica: Self = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]  # torch
        replica._be_copied()
        return replica

    def _be_copied(self) -> None:
        """Run what the point runs whose dict this one shares, or has a copy of; and it alone from here on."""
        cell, own = Cell(), self.__dict__
        origin: Origin = own["_origin"]
        original = origin.point()
        cell.plan = origin.cell.plan
        _set_cell(self, cell)
        if original is None or original.__dict__ is not own:
            own.update(_origin=Origin(self, cell), _traced=cell.plan)  # it may be the first that is traced

    def take_carried(self) -> list[Attachment]:
        """The hooks that came with a copy or a pickle and wait for admission; the point forgets them."""
        plan = self._plan
        if isinstance(plan, NotAdmitted):
            self._replace(self._fwd, self._bwd)
            return revive(self, plan.carried)
        return []


_set_cell = cast("Callable[[HookPoint, Cell], None]", HookPoint.__dict__["_cell"].__set__)


def _traced_call(self: HookPoint, x: Any) -> Any:
    """What torch's compiler traces when a point is called: the same, by the dict, whose entries cost it least to guard."""
    begin_tracing()
    plan = self._traced
    return x if plan is None else plan.fire(self, x)


traced_as(_traced_call)(HookPoint.__call__)


def attach(
    batch: Batch | Sequence[Attachment],
    *,
    root: NamedModel | None,
    route: Route,
    operation: int,
    controller: AdmissionController | None = None,
) -> Admitted:
    """Admit a batch, then attach all of it: the one door.

    :param controller: who decides, if the caller knows it already.
    :returns: what was attached, and what admission left out.
    :raises HookDenied: if the batch is refused; nothing was attached.
    :raises BaseException: whatever stops the attaching half-way; what was attached so far is off again.
    """
    if not isinstance(batch, Batch):
        batch = Batch((batch,), route)
    if controller is None:
        controller = current_controller() if root is None else root.controller
    admitted = admit(batch, root=root, controller=controller, route=route)
    attachments = admitted.attachments
    try:
        with _lock:
            places = batch.places if len(attachments) == len(batch.attachments) else None
            for attachment in attachments if places is None else _put(places):
                attachment.point._add(attachment)
        if "hooks_added" in controller.wanted and attachments:
            controller.notify(admitted.added_event(root, operation, route))
    except BaseException:
        detach_all(attachments)
        raise
    return admitted
