"""Refuses the gradients that a backward hook would silently make wrong.

A point with backward hooks sends an alias on. As long as nothing is changed in place after the point, or only the alias
is used, every gradient is what it would be without the hook. If the memory was changed *and* the tensor that went in has
other users, one of them may have relied on the change; that is the one case that is refused.
"""

from __future__ import annotations

from typing import Any

import torch

from hookframe.errors import GradientError

__all__ = ["GradientGuard"]


class GradientGuard:
    """Watches one tensor that went into a point with backward hooks.

    It holds no memory of the tensor: its probe is empty, and shares the version counter alone.
    """

    __slots__ = ("_passed", "_probe", "_region", "_version", "leaf", "point")

    def __init__(self, tensor: torch.Tensor, point: str | None) -> None:
        self.point = point
        self._probe = tensor.detach()
        self._probe.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        self._version: int = tensor._version
        self._passed: torch.Tensor | None = None
        base = tensor._base if tensor._is_view() and tensor._base is not None else tensor
        node: Any = base.grad_fn
        self.leaf = node is None
        self._region = None
        if base is not tensor:
            self._region = (tensor.size(), tensor.stride(), tensor.storage_offset() - base.storage_offset())
        if node is not None:
            place = base.output_nr
            node.register_prehook(lambda gradients: self._check(gradients[place]))

    @property
    def changed(self) -> bool:
        """True if the memory was changed in place after the point."""
        return bool(self._probe._version != self._version)

    def passes(self, gradient: torch.Tensor) -> None:
        """Note what the hooks passed on to the tensor that went in.

        :raises GradientError: if that is a leaf, such as a parameter, that was changed in place.
        """
        if self.leaf and self.changed:
            raise self._error("it is a leaf of the graph")
        self._passed = gradient

    def _check(self, total: torch.Tensor | None) -> None:
        """Compare all gradients of the tensor that went in with what the hooks passed on.

        :raises GradientError: if there are others, and the memory was changed.
        """
        passed, self._passed = self._passed, None
        if total is None or not self.changed:
            return
        if self._region is not None and total.is_contiguous():
            total = total.as_strided(*self._region)
        alone = not total.any() if passed is None else total.shape == passed.shape and torch.equal(total, passed)
        if not alone:
            raise self._error("it has other users as well")

    def _error(self, reason: str) -> GradientError:
        return GradientError(
            f"at hook point {self.point!r}, which has a backward hook, the model changes the activation in place after "
            f"the point, and the gradient of the tensor that went in cannot be right: {reason}. Use out-of-place "
            "operations there, or attach the backward hook elsewhere"
        )
