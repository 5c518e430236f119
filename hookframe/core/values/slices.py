"""Slices of one dimension of a tensor, given as an int, a tuple, indices or nothing."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Slice", "SliceInput"]

SliceInput: TypeAlias = (
    int
    | tuple[int | None]
    | tuple[int | None, int | None]
    | tuple[int | None, int | None, int | None]
    | list[int]
    | torch.Tensor
    | npt.NDArray[Any]
    | slice
    | None
)
"""What :class:`Slice` takes."""


class Slice:
    """A selection along one dimension.

    An int, also as a tensor or array without dimensions, picks one index and drops the dimension; a tuple is
    ``slice(*tuple)``; a list, tensor or array picks indices
    in the order given; None keeps everything.

    :ivar mode: ``"int"``, ``"slice"``, ``"array"`` or ``"identity"``.
    :ivar slice: what is applied: an int, a Python slice, or an int64 array.
    :raises ValueError: for anything else.
    """

    mode: Literal["int", "slice", "array", "identity"]
    slice: int | slice | npt.NDArray[np.int64]

    def __init__(self, input_slice: SliceInput = None) -> None:
        if isinstance(input_slice, tuple):
            self.mode, self.slice = "slice", slice(*input_slice)
        elif isinstance(input_slice, slice):
            self.mode, self.slice = "slice", input_slice
        elif isinstance(input_slice, bool):
            raise _invalid(input_slice)
        elif _is_int(input_slice):
            self.mode, self.slice = "int", int(input_slice)
        elif isinstance(input_slice, (list, torch.Tensor, np.ndarray)):
            self.mode, self.slice = "array", _indices(input_slice)
        elif input_slice is None:
            self.mode, self.slice = "identity", slice(None)
        else:
            raise _invalid(input_slice)

    @classmethod
    def unwrap(cls, slice_input: Slice | SliceInput) -> Slice:
        """A ``Slice`` for ``slice_input``; unlike the constructor, an int keeps the dimension, with size 1."""
        if isinstance(slice_input, Slice):
            return slice_input
        return cls([int(slice_input)] if _is_int(slice_input) else slice_input)

    def apply(self, tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """Select from ``tensor`` along ``dim``.

        A slice shares memory with ``tensor``; indices make a copy; the identity returns ``tensor`` itself.

        :raises IndexError: if an index is outside of the dimension.
        """
        if self.mode == "identity":
            return tensor
        where: list[Any] = [slice(None)] * tensor.dim()
        chosen = self.slice
        where[dim] = torch.as_tensor(chosen, device=tensor.device) if isinstance(chosen, np.ndarray) else chosen
        return tensor[tuple(where)]

    def indices(self, max_ctx: int | None = None) -> npt.NDArray[np.int64]:
        """The selected indices, as int64 of shape ``[selected]``.

        :param max_ctx: the size of the dimension.
        :raises ValueError: if ``max_ctx`` is needed (always, except for an int) and not given.
        """
        if self.mode == "int":
            return np.array([self.slice], dtype=np.int64)
        if max_ctx is None:
            raise ValueError("max_ctx, the size of the dimension, is needed to list the indices of this slice")
        return np.arange(max_ctx, dtype=np.int64)[self.slice]

    def __repr__(self) -> str:
        return f"Slice({self.slice!r}, mode={self.mode!r})"


def _is_int(value: object) -> TypeGuard[int]:
    """True for an integer, and for a tensor or array of one without dimensions; these convert to an int."""
    if isinstance(value, torch.Tensor):
        return value.dim() == 0 and not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    if isinstance(value, np.ndarray):
        return value.ndim == 0 and np.issubdtype(value.dtype, np.integer)
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _indices(values: list[int] | torch.Tensor | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.ndim == 0 or (array.size and not (np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_)):
        raise _invalid(values)
    if array.dtype == np.bool_:
        array = np.flatnonzero(array)
    return array.astype(np.int64)


def _invalid(value: object) -> ValueError:
    return ValueError(
        f"Invalid input_slice {value!r}: use an int, a tuple of slice arguments, a list or array of indices, or None"
    )
