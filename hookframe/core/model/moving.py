"""Moving a model: the device is reviewed before the first parameter moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from hookframe.core.registration.devices import review_device

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.core.values.types import DeviceType

__all__ = ["AdmittedMoves"]


class AdmittedMoves(nn.Module):
    """``to``, ``to_empty`` and the methods named for devices as torch has them, after a review of the device.

    :raises HookDenied: from each, if the device is refused; nothing was moved.
    """

    if TYPE_CHECKING:

        @property
        def controller(self) -> AdmissionController:
            """Who decides."""

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
