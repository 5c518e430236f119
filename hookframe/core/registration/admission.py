"""What happens before anything is attached: the model's own check, the controller's review, the plugins' wrappers."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from hookframe.admission.controller import AdmissionController
from hookframe.admission.decision import Decision
from hookframe.admission.request import DeviceRequest, LazyRequests, Route
from hookframe.core.hooks.aliases import UnderAliases
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.guards import ReadOnly, ReturnGuard
from hookframe.core.registration.batch import Admitted, Batch
from hookframe.core.values.text import folded
from hookframe.core.values.warn import warn_user
from hookframe.errors import HookDenied, HookObjectionWarning, PluginError

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Model
    from hookframe.core.values.types import DeviceType

__all__ = ["admit", "device_in_force", "device_named", "model_name", "next_operation", "review_device", "wrap"]


logger = logging.getLogger("hookframe")


next_operation: Callable[[], int] = itertools.count(1).__next__
"""A number for one operation (one ``run_with_cache``, one ``hooks(...)``), counted from 1 in this process."""


def model_name(root: object | None) -> str:
    """How events call a model: the name of its class, or that of the model inside; ``"?"`` for a point without one."""
    return "?" if root is None else type(getattr(root, "forward_module", root)).__name__


def admit(batch: Batch, *, root: Model | None, controller: AdmissionController, route: Route) -> Admitted:
    """Ask everybody about a batch; nothing is attached yet.

    :raises HookDenied: if the controller's decision refuses the batch.
    :raises Exception: whatever the model's ``check_hooks_to_add`` raises about a point that was asked for by name.
    """
    asked, requests = batch.attachments, batch.requests
    skipped: dict[str, str] = {}
    judges = [controller]
    if root is None or root.asks_about(batch):
        asked, skipped = _ask_models(batch.attachments, root)
        if skipped:
            requests = Batch((asked,), route, lasting=batch.lasting).requests
        judges += _other_controllers(asked, root, controller)
    left_out: set[int] = set()
    for judge in judges:
        decision = judge.review_hooks(requests, root)
        if decision.objections:
            review_or_raise(decision)
            left_out |= decision.skipped
            for objection in decision.skips:
                skipped.setdefault(
                    asked[objection.request.index].shown_name, f"{objection.source}: {objection.message}"
                )
    admitted = batch.whole
    if skipped:
        kept = [index for index in range(len(asked)) if index not in left_out]
        left = LazyRequests(lambda: [requests[index] for index in kept], len(kept))
        admitted = Admitted([asked[index] for index in kept], skipped, left)
        _report_skipped(skipped, route, logging.INFO if kept else logging.WARNING)
    return admitted


def wrap(admitted: Admitted, batch: Batch, controller: AdmissionController, wanted: Collection[str]) -> None:
    """Put around the functions what plugins and the options of the attachments ask for.

    :param wanted: the specs that plugins implement.
    """
    if "wrap_hook" in wanted:
        _wrap_by_plugins(admitted, controller)
    if batch.wrapped_by_options:
        _wrap_by_options(admitted.attachments)


def _other_controllers(
    asked: Sequence[Attachment], root: Model | None, controller: AdmissionController
) -> list[AdmissionController]:
    """Controllers of their own that other models have, to which one of the points belongs as well."""
    found: dict[int, AdmissionController] = {}
    for attachment in asked:
        for owner in attachment.point.other_owners(root):
            own = owner.admission_controller
            if own is not None and own is not controller:
                found[id(own)] = own
    return list(found.values())


def _ask_models(attachments: list[Attachment], root: Model | None) -> tuple[list[Attachment], dict[str, str]]:
    """Ask the ``check_hooks_to_add`` overrides of the model, and of other models that share a point.

    What a filter swept up is left out if it is refused; but if that leaves nothing of a user's own hooks, the first
    refusal is raised, since nothing of what was asked for could be done.
    """
    left: list[Attachment] = []
    skipped: dict[str, str] = {}
    first: Exception | None = None
    for attachment in attachments:
        try:
            for owner, name in attachment.point.owners(root, attachment.name):
                owner.ask_own_check(attachment, name)
        except Exception as refusal:
            if attachment.exact:
                raise
            first = first or refusal
            skipped[attachment.shown_name] = f"{type(refusal).__name__}: {refusal}"
        else:
            left.append(attachment)
    if first is not None and not left and not any(attachment.caches for attachment in attachments):
        raise first
    return left, skipped


def _wrap_by_plugins(admitted: Admitted, controller: AdmissionController) -> None:
    for attachment, request in zip(admitted.attachments, admitted.requests, strict=True):
        if attachment.wrappable:
            attachment.put_around(controller.wrap(request, attachment.called))


def _wrap_by_options(kept: Sequence[Attachment]) -> None:
    """Put what the attachments' options ask for around their functions."""
    for attachment in kept:
        if attachment.caches:  # reads, and stores under each of its aliases
            continue
        if attachment.read_only:
            attachment.put_around(ReadOnly(attachment.called, attachment.user_hook))
        elif attachment.rules is not None and (attachment.rules.costly or attachment.aliases):
            attachment.put_around(ReturnGuard(attachment.called, attachment.rules, attachment.user_hook))
        if attachment.aliases:
            backward = attachment.direction == "bwd"
            attachment.put_around(UnderAliases(attachment.called, attachment.aliases, gradients=backward))


def _report_skipped(skipped: dict[str, str], route: Route, level: int) -> None:
    if logger.isEnabledFor(level):
        reasons = "; ".join(folded(skipped))
        logger.log(level, "%s left out %d hook points: %s", route, len(skipped), reasons, extra={"skipped": skipped})


def review_or_raise(decision: Decision) -> Decision:
    """Pass an allowing decision on, after its warnings.

    :raises HookDenied: if the decision refuses; from the exception of the plugin that failed, if one did.
    """
    if not decision.objections:
        return decision
    if not decision.allowed:
        raise HookDenied(decision) from next(iter(decision.errors), None)
    for objection in decision.warnings:
        warn_user(str(objection), HookObjectionWarning)
    return decision


def review_device(
    root: Any, device: torch.device | str | int, purpose: Literal["model", "cache"], route: Route
) -> torch.device:
    """Ask about ``device``; return the device to use, which an objection may have changed.

    :raises HookDenied: if it is refused.
    """
    asked = torch.device(device)
    controller: AdmissionController = root.controller
    if not controller.wants("check_device"):
        return asked
    request = DeviceRequest(device=str(asked), purpose=purpose, route=route)
    decision = review_or_raise(controller.review_device(request, root))
    return asked if decision.device is None else device_named(decision)


def device_named(decision: Decision) -> torch.device:
    """The device that an objection names instead.

    :raises PluginError: if it is none; with the plugin that named it.
    """
    try:
        return torch.device(str(decision.device))
    except RuntimeError as error:
        who = next(objection.source for objection in decision.objections if objection.device is not None)
        raise PluginError(
            f"plugin {who!r} names device {decision.device!r} instead, and torch has none: {error}"
        ) from error


def device_in_force(root: nn.Module, device: DeviceType) -> torch.device | None:
    """The device that cached tensors will live on: ``device``, else that of the model's first parameter or buffer."""
    if device is not None:
        return torch.device(device)
    for table in ("_parameters", "_buffers"):
        found = _device_below(getattr(root, "forward_module", root), table, set())
        if found is not None:
            return found
    return None


def _device_below(module: nn.Module, table: str, seen: set[int]) -> torch.device | None:
    """The device of the first tensor in such a table; torch's own iterators take several times as long to the first one."""
    seen.add(id(module))
    for tensor in getattr(module, table).values():
        if tensor is not None:
            found: torch.device = tensor.device
            return found
    for child in module._modules.values():
        if child is not None and id(child) not in seen:
            below = _device_below(child, table, seen)
            if below is not None:
                return below
    return None
