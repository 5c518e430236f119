"""Finding the activation among a module's arguments or in its output, and putting an edited one back in its place."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias

import torch

__all__ = ["Key", "locate", "put_argument", "put_back", "take", "take_argument"]

Key: TypeAlias = int | str
"""Where a tensor lies: an index, a key or a field; of arguments, an int is positional and a string a keyword."""

_FIRST = ("hidden_states", "last_hidden_state", "logits", "inputs_embeds", "input_ids", "pixel_values")


def locate(value: Any) -> Key | None:
    """The key of the tensor that carries the activation in an output; None if there is none.

    In a mapping or a dataclass, that is the first of ``hidden_states``, ``last_hidden_state``, ``logits`` and so on that
    is there, else the first tensor with a dimension; in a tuple or a list, the first tensor.
    """
    if isinstance(value, Mapping) or is_dataclass(value):
        entries = _entries(value)
        named = [key for key in _FIRST if isinstance(entries.get(key), torch.Tensor)]
        others = [key for key, entry in entries.items() if isinstance(entry, torch.Tensor) and entry.dim()]
        return next(iter([*named, *others]), None)
    if isinstance(value, (tuple, list)):
        return next((place for place, entry in enumerate(value) if isinstance(entry, torch.Tensor)), None)
    return None


def _entries(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return {part.name: getattr(value, part.name) for part in fields(value)}


def take(value: Any, key: Key | None) -> Any:
    """What lies under ``key`` in an output (``value`` itself for None); None if there is nothing."""
    if key is None:
        return value
    if isinstance(value, Mapping):
        return _entries(value).get(str(key))
    if isinstance(key, int):
        return value[key] if isinstance(value, Sequence) and -len(value) <= key < len(value) else None
    return getattr(value, key, None)


def put_back(value: Any, key: Key | None, tensor: Any) -> Any:
    """A shallow copy of an output with ``tensor`` under ``key``; its type and everything else in it are kept."""
    if key is None:
        return tensor
    if isinstance(value, tuple):
        items = [tensor if place == key or place - len(value) == key else item for place, item in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    copied: Any = copy.copy(value)
    if isinstance(value, (list, Mapping)):
        copied[key] = tensor
    else:
        object.__setattr__(copied, str(key), tensor)  # a dataclass, which may be frozen
    return copied


def locate_argument(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Key | None:
    """The key of the tensor that carries the activation among arguments; None if there is none."""
    position = locate(args)
    return position if position is not None else locate(kwargs)


def take_argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], item: Key | None) -> tuple[Key | None, Any]:
    """The key and the value of an argument: the one called ``item``, or the one that carries the activation."""
    key = locate_argument(args, kwargs) if item is None else item
    if key is None:
        return None, None
    return key, (take(args, key) if isinstance(key, int) else kwargs.get(key))


def put_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], key: Key, tensor: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with ``tensor`` under ``key``; a new tuple or a new dict, the other as it was."""
    if isinstance(key, int):
        return put_back(args, key, tensor), kwargs
    return args, {**kwargs, key: tensor}
