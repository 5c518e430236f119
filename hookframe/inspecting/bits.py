"""Tensors in nested values: finding, copying and comparing them bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch

__all__ = ["copied", "same_bits", "tensors_in"]

_DEEPEST = 12


def tensors_in(value: Any, depth: int = 0) -> list[torch.Tensor]:
    """The tensors in mappings, sequences, dataclasses and plain objects, in order; not deeper than twelve levels."""
    if isinstance(value, torch.Tensor):
        return [value]
    if (
        depth >= _DEEPEST
        or value is None
        or isinstance(value, (str, bytes, int, float, complex, torch.dtype, torch.device))
    ):
        return []
    if isinstance(value, Mapping):
        inner: Sequence[Any] = list(value.values())
    elif isinstance(value, (Sequence, set, frozenset)):
        inner = list(value)
    elif is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, field.name) for field in fields(value)]
    else:
        inner = list(getattr(value, "__dict__", {}).values()) if not callable(value) else []
    return [tensor for item in inner for tensor in tensors_in(item, depth + 1)]


def copied(value: Any) -> Any:
    """``value`` with every tensor in its mappings, lists and tuples cloned, so that a run cannot change it."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(copied(item) for item in value)
    return value


def same_bits(some: Sequence[torch.Tensor], others: Sequence[torch.Tensor]) -> bool:
    """True if both hold tensors of the same shapes, dtypes and bits; a NaN equals itself, and 0.0 differs from -0.0."""
    return len(some) == len(others) and all(map(_same, some, others))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.is_nested or other.is_nested:
        return one.is_nested and other.is_nested and same_bits(one.unbind(), other.unbind())
    if one.shape != other.shape or one.layout != other.layout or one.dtype != other.dtype or one.device != other.device:
        return False
    if one.is_meta:
        return True  # it has no values
    if one.is_quantized:
        return bool(torch.equal(one, other))
    if one.layout != torch.strided:
        one, other = one.to_dense(), other.to_dense()
    return bool(torch.equal(_bytes(one), _bytes(other)))


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().reshape(-1).resolve_conj().resolve_neg().contiguous().view(torch.uint8)
