"""The scan: every hook on a model, and what is remarkable about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from torch import nn

from hookframe.admission.controller import current_controller
from hookframe.admission.objection import Objection
from hookframe.admission.request import HookRequest, Route
from hookframe.core.hooks.attachment import Attachment, HookHandle
from hookframe.core.model.hook_point import HookPoint
from hookframe.core.model.named_model import NamedModel
from hookframe.core.registration.batch import Batch
from hookframe.core.verbs.silence import explain_silence
from hookframe.host.running.manager import PluginManager
from hookframe.inspecting.points import known_points
from hookframe.inspecting.report import FoundHook, Remark, ScanReport, Trait
from hookframe.inspecting.torch_hooks import global_hooks, hooks_on_module
from hookframe.instrumenting.instrumented_model import InstrumentedModel

if TYPE_CHECKING:
    from hookframe.admission.request import Direction

__all__ = ["scan"]


def scan(model: nn.Module) -> ScanReport:
    """Look at every hook on ``model``; nothing is attached, removed or run.

    The plugins and the policy review the admitted hooks once more, as things stand now: a hook that they would refuse
    is ``expired``. No observer is told of this review, and nothing is recorded. A hook does not keep the verb that
    attached it: rules about the route see ``torch``, ``add_hook``, ``hooks`` or ``run_with_cache``.

    :param model: with hook points, or any module; of one that :func:`hookframe.instrument` made, the wrapped model's
        modules are looked at.
    """
    body = model.wrapped if isinstance(model, InstrumentedModel) else model
    points = known_points(model)
    admitted = _admitted(points)
    _look_at_places(model, admitted)
    modules = dict(body.named_modules())
    of_torch = [hook for name, module in modules.items() for hook in hooks_on_module(name, module)]
    asked = [*map(_Admitted.request, admitted), *(_torch_request(hook) for hook in of_torch if not hook.remarks)]
    said = _ask_again(model, asked)
    for each in admitted:
        each.remarks += next(said)
    _look_at_silence(model, admitted)
    return ScanReport(
        model=type(model).__name__,
        modules=len(modules),
        points=len(points),
        hooks=(
            *(FoundHook.of(each.attachment, each.place, each.remarks) for each in admitted),
            *(hook if hook.remarks else replace(hook, remarks=tuple(next(said))) for hook in of_torch),
            *global_hooks(),
        ),
    )


def _torch_request(hook: FoundHook) -> HookRequest:
    direction = cast("Direction", hook.direction)  # a pass calls it: others are not looked at here
    return HookRequest(index=0, point=hook.place, function=hook.function, direction=direction, route="torch")


@dataclass(slots=True)
class _Admitted:
    """A hook on a hook point, and what was found out about it."""

    place: str
    point: HookPoint
    handle: HookHandle
    attachment: Attachment
    remarks: list[Remark] = field(default_factory=list)

    def request(self) -> HookRequest:
        handle = self.handle
        lasting = handle.context_level is None or self.attachment.options.operation is None
        (request,) = Batch(((self.attachment,),), self._route, lasting=lasting).requests
        return replace(request, point=self.place or None, permanent=handle.is_permanent, level=handle.context_level)

    @property
    def _route(self) -> Route:
        if self.attachment.caches:
            return "run_with_cache"
        return "add_hook" if self.handle.context_level is None else "hooks"


def _admitted(points: Sequence[tuple[str, HookPoint]]) -> list[_Admitted]:
    return [
        _Admitted(name, point, handle, handle.hook)
        for name, point in points
        for handle in (*point.fwd_hooks, *point.bwd_hooks)
        if isinstance(handle.hook, Attachment)
    ]


def _look_at_places(model: nn.Module, admitted: Sequence[_Admitted]) -> None:
    open_contexts = getattr(model, "context_level", 0)
    there = set(map(id, model.modules()))
    in_tree = isinstance(model, NamedModel) and not isinstance(model, InstrumentedModel)
    for each in admitted:
        level = each.handle.context_level
        if in_tree and id(each.point) not in there:
            message = "its point is no longer in the model, so nothing calls it: remove the hook, or call setup() again"
            each.remarks.append(Remark(Trait.ORPHANED, message))
        elif level is not None and level > open_contexts and not each.handle.is_permanent:
            message = f"it belongs to a context of level {level}, which is over: remove it with reset_hooks()"
            each.remarks.append(Remark(Trait.ORPHANED, message))


def _ask_again(model: nn.Module, asked: Sequence[HookRequest]) -> Iterator[list[Remark]]:
    """What is remarked about each of these requests, in order, if it were made now."""
    requests = [replace(request, index=index) for index, request in enumerate(asked)]
    remarks: list[list[Remark]] = [[] for _ in requests]
    controller = getattr(model, "admission_controller", None) or current_controller()
    if requests and isinstance(controller, PluginManager):
        for objection in controller.consider(requests, model).objections:
            remarks[objection.request.index] += _remarks_of(objection)
    return iter(remarks)


def _remarks_of(objection: Objection) -> Iterator[Remark]:
    if objection.refuses:
        yield Remark(Trait.EXPIRED, f"refused now: {objection.message} [{objection.by}]; {objection.remedy}")
    elif objection.exception is not None:
        yield Remark(Trait.EXCEPTED, f"{objection.message} [{objection.by}]")


def _look_at_silence(model: nn.Module, admitted: Sequence[_Admitted]) -> None:
    attachments = [each.attachment for each in admitted]
    for each in admitted:
        if not each.attachment.has_fired:
            why = explain_silence(model, each.attachment, attachments) if _has_order(model) else "the model was not run"
            each.remarks.append(Remark(Trait.NEVER_FIRED, why))


def _has_order(model: nn.Module) -> bool:
    return isinstance(getattr(model, "hook_dict", None), Mapping)
