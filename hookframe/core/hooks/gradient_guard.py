"""Refuses the gradients that a backward hook would silently make wrong.

A point with backward hooks sends an alias on. As long as nothing is changed in place after the point, or only the alias
is used, every gradient is what it would be without the hook. If the memory was changed *and* the tensor that went in has
other users, one of them may have relied on the change, and hookframe cannot tell: it refuses such a gradient.

It misses two cases. If the model changes the tensor that went in after the point, in place, and then uses nothing but the
point's output, the gradient leaves that change out. And ``torch.autograd.grad`` with respect to the very tensor that went
in ends before the guard, and leaves out what a change of the alias did to it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from hookframe.errors import GradientError

__all__ = ["GradientGuard", "Seen"]


class _Placement(NamedTuple):
    """Where a view lies in its base."""

    size: torch.Size
    stride: tuple[int, ...]
    offset: int
    base_size: torch.Size
    base_stride: tuple[int, ...]

    @classmethod
    def of(cls, view: torch.Tensor, base: torch.Tensor) -> _Placement:
        offset = int(view.storage_offset()) - int(base.storage_offset())
        return cls(view.size(), view.stride(), offset, base.size(), base.stride())

    def within(self, total: torch.Tensor) -> torch.Tensor:
        """The part of ``total``, a gradient of the base, that belongs to the view."""
        laid_out = torch.empty_strided(self.base_size, self.base_stride, dtype=total.dtype, device=total.device)
        return laid_out.copy_(total).as_strided(self.size, self.stride, self.offset)


class Seen(NamedTuple):
    """What a guard has to know of a tensor when it goes into a point.

    :ivar version: how often its memory had been changed in place.
    :ivar node: the graph node that computed it, or for a view its base; None for a leaf.
    :ivar place: which of the node's outputs that is.
    :ivar base: the tensor that it is a view of; None if it is no view.
    """

    version: int
    node: Any
    place: int
    base: torch.Tensor | None

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Seen:
        """Describe ``tensor`` as it is now."""
        base = tensor._base if tensor._is_view() else None
        source = tensor if base is None else base
        return cls(tensor._version, source.grad_fn, source.output_nr, base)


_empties: dict[tuple[torch.dtype, torch.device], torch.Tensor] = {}  # a few; making one costs as much as the rest


def _empty(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """A tensor without elements."""
    known = _empties.get((dtype, device))
    if known is None:
        known = _empties[dtype, device] = torch.empty(0, dtype=dtype, device=device)
    return known


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """True if all elements are equal, or both not a number."""
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


class GradientGuard:
    """Watches one tensor that went into a point with backward hooks.

    It holds none of the tensor's memory: its probe is empty, and shares only the version counter.
    """

    __slots__ = ("_passed", "_probe", "_version", "_view", "leaf", "point")

    def __init__(self, tensor: torch.Tensor, point: str | None, seen: Seen | None = None) -> None:
        """Watch ``tensor``, or what was ``seen`` of it when it went in."""
        seen = seen or Seen.of(tensor)
        self.point = point
        self._probe = tensor.detach()
        self._probe.data = _empty(tensor.dtype, tensor.device)
        self._version = seen.version
        self._passed: torch.Tensor | None = None
        self.leaf = seen.node is None
        self._view = None if seen.base is None else _Placement.of(tensor, seen.base)
        if seen.node is not None:
            place = seen.place
            seen.node.register_prehook(lambda gradients: self._check(gradients[place]))

    @property
    def changed(self) -> bool:
        """True if the memory was changed in place after the point."""
        return bool(self._probe._version != self._version)

    def passes(self, gradient: torch.Tensor) -> None:
        """Record the gradient that the hooks passed on to the tensor that went in.

        :raises GradientError: if that is a leaf, such as a parameter, that was changed in place.
        """
        if self.leaf and self.changed:
            raise self._error("it is a leaf of the graph")
        if not self.leaf:
            self._passed = gradient

    def _check(self, total: torch.Tensor | None) -> None:
        """Compare the whole gradient of the tensor that went in with what the hooks passed on.

        :raises GradientError: if other users added to it, and the memory was changed.
        """
        passed, self._passed = self._passed, None
        if total is None or not self.changed:
            return
        if self._view is not None:
            total = self._view.within(total)
        if not (_same(total, passed) if passed is not None else not total.any()):
            raise self._error("it has other users as well")

    def _error(self, reason: str) -> GradientError:
        return GradientError(
            f"at hook point {self.point!r}, which has a backward hook, the model changes the activation in place after "
            f"the point, and the gradient of the tensor that went in cannot be right: {reason}. Use out-of-place "
            "operations there, or attach the backward hook elsewhere"
        )
