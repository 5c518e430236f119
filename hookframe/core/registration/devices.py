"""Moving a model: the device is reviewed before the first parameter moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from hookframe.admission.decision import Decision
from hookframe.admission.request import DeviceRequest, Route
from hookframe.core.registration.admission import review_or_raise
from hookframe.errors import PluginError

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.core.values.types import DeviceType

__all__ = ["device_in_force", "device_named", "review_device"]


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
