"""How a hook function is called when it needs more than ``hook(tensor, hook=point)``."""

from __future__ import annotations

from typing import Any

from hookframe.core.point_view import PointView
from hookframe.core.types import HookFunction

__all__ = ["UnderAliases"]


class UnderAliases:
    """Calls one function once for each alias, in order; each call sees what the one before returned.

    The result is the last state if any call returned something, else None.
    """

    __slots__ = ("aliases", "function")

    def __init__(self, function: HookFunction, aliases: tuple[str, ...]) -> None:
        self.function = function
        self.aliases = aliases

    def __call__(self, tensor: Any, *, hook: Any) -> Any:
        """Run the function once for each alias of ``hook``."""
        state, edited = tensor, False
        for alias in self.aliases:
            result = self.function(state, hook=PointView(hook, alias))
            if result is not None:
                state, edited = result, True
        return state if edited else None
