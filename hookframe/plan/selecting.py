"""Where in an activation an edit takes effect."""

from __future__ import annotations

from typing import Any

import torch

from hookframe.admission.point_names import position_dim as dim_by_name
from hookframe.errors import ActivationShapeError
from hookframe.plan.operations import Edit, Span

__all__ = ["chosen", "position_dim", "where"]


def position_dim(hook: Any, tensor: torch.Tensor) -> int:
    """The dimension that is the position, from 0: what the point says, else third from last for per-head points and
    second from last for others.

    :raises ActivationShapeError: if the tensor has too few dimensions.
    """
    dim = hook.pos_dim
    if dim is None:
        dim = dim_by_name(hook.name)
    if not -tensor.dim() <= dim < tensor.dim():
        raise ActivationShapeError(f"{hook.name!r} has shape {list(tensor.shape)}, so no dimension for positions")
    return int(dim % tensor.dim())


def chosen(indices: tuple[int, ...] | Span | None, size: int, what: str, hook: Any) -> torch.Tensor:
    """The indices as int64 ``[count]``, from 0.

    :raises ActivationShapeError: if one is outside of ``size``.
    """
    if indices is None:
        return torch.arange(size)
    if isinstance(indices, Span):
        return torch.arange(size)[slice(indices.start, indices.stop, indices.step)]
    outside = [index for index in indices if not -size <= index < size]
    if outside:
        raise ActivationShapeError(f"{hook.name!r} has {size} {what}, and the plan asks for number {outside[0]}")
    return torch.tensor([index % size for index in indices])


def where(edit: Edit, tensor: torch.Tensor, hook: Any) -> torch.Tensor | None:
    """True where the edit takes effect, of a shape that broadcasts to the tensor's; None for everywhere."""
    mask: torch.Tensor | None = None
    for indices, what in ((edit.rows, "rows"), (edit.positions, "positions"), (edit.features, "features")):
        if indices is not None:
            dim = {"rows": 0, "features": tensor.dim() - 1}.get(what)
            dim = position_dim(hook, tensor) if dim is None else dim
            size = tensor.shape[dim]
            line = torch.zeros(size, dtype=torch.bool).index_fill_(0, chosen(indices, size, what, hook), value=True)
            line = line.to(tensor.device).reshape([-1 if place == dim else 1 for place in range(tensor.dim())])
            mask = line if mask is None else mask & line
    return mask
