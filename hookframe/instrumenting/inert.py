"""What becomes of hookframe's torch hooks in a copy of a model: nothing, and at the first call they are gone."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.compiler import is_dynamo_compiling

__all__ = ["Inert", "without_inert"]


class Inert:
    """Stands in a copied or unpickled model where a hook of the original's points was; does nothing but go.

    Functions are admitted for one model; a copy of that model starts without. What copies a module copies what is in its
    tables of hooks, one for one, so the place cannot be left empty there and then.
    """

    hookframe_managed = True

    def __call__(self, module: nn.Module, *_: Any) -> None:
        """Take the stand-ins off ``module``."""
        if not is_dynamo_compiling():  # which reads the tables, and would have to begin again
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
