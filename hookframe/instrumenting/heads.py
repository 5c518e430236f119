"""Conversions between a module's own layout and the one that hook functions see."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hookframe.instrumenting.place import Part

__all__ = ["HeadsApart", "HeadsBehindPositions", "put_part", "take_part"]


@dataclass(frozen=True, slots=True)
class HeadsApart:
    """A hook conversion: ``[batch, pos, head * d_head]`` as ``[batch, pos, head, d_head]``; both share memory.

    Grouped key and value heads are not repeated: there are as many as the model has.

    :ivar heads: how many.
    """

    heads: int

    def convert(self, tensor: torch.Tensor) -> torch.Tensor:
        """Split the last dimension."""
        return _split_last(tensor, self.heads, -1)  # [..., head, d_head]

    def revert(self, tensor: torch.Tensor) -> torch.Tensor:
        """Join the last two dimensions."""
        return tensor.flatten(-2)  # [..., head * d_head]


@dataclass(frozen=True, slots=True)
class HeadsBehindPositions:
    """A hook conversion: ``[batch, head, pos, d_head]`` as ``[batch, pos, head, d_head]``; both share memory."""

    def convert(self, tensor: torch.Tensor) -> torch.Tensor:
        """Swap heads and positions."""
        return tensor.transpose(1, 2)

    def revert(self, tensor: torch.Tensor) -> torch.Tensor:
        """Swap them back."""
        return tensor.transpose(1, 2)


def take_part(tensor: torch.Tensor, part: Part, heads: int) -> torch.Tensor:
    """One part of a fused tensor ``[..., count * head * d_head]``, as ``[..., head * d_head]``."""
    if part.per_head:
        return _split_last(tensor, heads, part.count, -1)[..., part.index, :].flatten(-2)
    return tensor.chunk(part.count, dim=-1)[part.index]


def put_part(tensor: torch.Tensor, part: Part, heads: int, edited: torch.Tensor) -> torch.Tensor:
    """A fused tensor like ``tensor`` with one part replaced; the others are the same values."""
    if part.per_head:
        parts = list(_split_last(tensor, heads, part.count, -1).unbind(-2))
        parts[part.index] = _split_last(edited, heads, -1)
        return torch.stack(parts, dim=-2).flatten(-3)
    parts = list(tensor.chunk(part.count, dim=-1))
    parts[part.index] = edited
    return torch.cat(parts, dim=-1)


def _split_last(tensor: torch.Tensor, *sizes: int) -> torch.Tensor:
    return tensor.reshape(*tensor.shape[:-1], *sizes)
