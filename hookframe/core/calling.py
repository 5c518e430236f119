"""How a hook function is called when it needs more than ``hook(tensor, hook=point)``."""

from __future__ import annotations

from typing import Any

from hookframe.core.point_view import PointView
from hookframe.core.types import HookFunction

__all__ = ["UnderAliases"]


class UnderAliases:
    """Calls one function once for each alias, in order; each call sees what the one before returned.

    The result is the last state if any call returned something, else None.

    :ivar gradients: True for backward hooks, which may return a tuple of one.
    """

    __slots__ = ("aliases", "function", "gradients")

    def __init__(self, function: HookFunction, aliases: tuple[str, ...], *, gradients: bool) -> None:
        self.function = function
        self.gradients = gradients
        self.aliases = aliases

    def __call__(self, tensor: Any, *, hook: Any) -> Any:
        """Run the function once for each alias of ``hook``."""
        state, edited = tensor, False
        for alias in self.aliases:
            result = self.function(state, hook=PointView(hook, alias))
            if self.gradients and isinstance(result, tuple) and len(result) == 1:
                result = result[0]
            if result is not None:
                state, edited = result, True
        return state if edited else None
