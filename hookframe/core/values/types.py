"""The types in the signatures of the hook API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import torch

__all__ = ["CloneMode", "DeviceType", "HookConversion", "HookFunction", "HookSpecification", "NamesFilter"]

HookFunction: TypeAlias = Callable[..., Any]
"""Called as ``hook(tensor, hook=point)``; returns None, or what replaces the tensor."""
NamesFilter: TypeAlias = Callable[[str], bool] | Sequence[str] | str | None
"""Which hook points: None for all, a name, a glob on the parts of names (``"blocks.*.attn.hook_?"``), a list of these, or a
predicate on names."""
HookSpecification: TypeAlias = tuple[str | Callable[[str], bool], HookFunction]
"""A name, a glob or a predicate on names, and the function to attach there."""
DeviceType: TypeAlias = torch.device | str | int | None
"""Anything torch takes for a device; None leaves tensors where they are."""
CloneMode: TypeAlias = Literal["never", "auto", "always"]
"""``never``: keep a reference and check it afterwards; ``auto``: copy on write; ``always``: copy at once."""


class HookConversion(Protocol):
    """Converts an activation for hook functions, and what they return back again."""

    def convert(self, tensor: Any) -> Any:
        """From the model's layout to the one that hook functions see."""

    def revert(self, tensor: Any) -> Any:
        """From the layout that hook functions see to the model's."""
