"""What becomes of hookframe's torch hooks in a copy of a model: nothing."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["Inert", "without_inert"]


class Inert:
    """Stands in a copied or unpickled model where a hook of the original's points was, and does nothing.

    Functions are admitted for one model; a copy of that model starts without.
    """

    hookframe_managed = True

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


def without_inert(model: nn.Module) -> None:
    """Take these stand-ins off ``model``."""
    for module in model.modules():
        for hooks, flags in (
            (module._forward_hooks, module._forward_hooks_with_kwargs),
            (module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs),
        ):
            for key in [key for key, hook in hooks.items() if isinstance(hook, Inert)]:
                del hooks[key]
                flags.pop(key, None)
