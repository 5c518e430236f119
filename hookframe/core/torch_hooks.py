"""torch's own ``register_*_hook`` methods on a hook point: they work as on any module, through the same admission."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from hookframe.admission.request import Direction

__all__ = ["AdmittedTorchHooks"]


class AdmittedTorchHooks(nn.Module):
    """Sends each torch-style registration through :meth:`_admit_torch_hook` before torch sees it.

    :raises HookDenied: from each method, if the admission refuses; torch's tables are then unchanged.
    """

    def _admit_torch_hook(self, hook: Callable[..., Any], direction: Direction, prepend: bool) -> Callable[..., Any]:
        raise NotImplementedError

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """As ``torch.nn.Module.register_forward_hook``, after admission."""
        admitted = self._admit_torch_hook(hook, "fwd", prepend)
        return super().register_forward_hook(
            admitted, prepend=prepend, with_kwargs=with_kwargs, always_call=always_call
        )

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """As ``torch.nn.Module.register_forward_pre_hook``, after admission."""
        admitted = self._admit_torch_hook(hook, "fwd", prepend)
        return super().register_forward_pre_hook(admitted, prepend=prepend, with_kwargs=with_kwargs)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """As ``torch.nn.Module.register_full_backward_hook``, after admission."""
        return super().register_full_backward_hook(self._admit_torch_hook(hook, "bwd", prepend), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """As ``torch.nn.Module.register_full_backward_pre_hook``, after admission."""
        return super().register_full_backward_pre_hook(self._admit_torch_hook(hook, "bwd", prepend), prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As ``torch.nn.Module.register_backward_hook``, after admission."""
        return super().register_backward_hook(self._admit_torch_hook(hook, "bwd", False))

    def _has_torch_hooks(self) -> bool:
        own = self.__dict__
        return bool(
            own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
        )
