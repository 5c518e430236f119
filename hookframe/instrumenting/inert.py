"""Stand-ins for hookframe's torch hooks in a copy of a model: they do nothing, and the first call removes them."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.compiler import is_dynamo_compiling

__all__ = ["Inert", "without_inert"]


class Inert:
    """Takes the place of a point's torch hook in a copied or unpickled model; does nothing and removes itself.

    Functions are admitted for one model; a copy of that model starts without. Whatever copies a module copies each
    entry of its tables of hooks, so the entry cannot be left out at that moment.
    """

    hookframe_managed = True

    def __call__(self, module: nn.Module, *_: Any) -> None:
        """Take the stand-ins off ``module``."""
        if not is_dynamo_compiling():  # dynamo reads the tables, and would have to begin again
            _clear(module)


def without_inert(model: nn.Module) -> None:
    """Take these stand-ins off ``model``."""
    for module in model.modules():
        _clear(module)


def _clear(module: nn.Module) -> None:
    for hooks, flags in (
        (module._forward_hooks, module._forward_hooks_with_kwargs),
        (module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs),
    ):
        for key in [key for key, hook in hooks.copy().items() if isinstance(hook, Inert)]:
            hooks.pop(key, None)  # another thread may have been here
            flags.pop(key, None)
