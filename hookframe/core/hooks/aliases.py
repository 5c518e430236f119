"""A hook point under another name, and functions that are called once for each of their aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookframe.core.values.types import HookFunction

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Point

__all__ = ["PointView", "UnderAliases"]


class PointView:
    """Shows ``point`` under ``name``; everything else, assignments included, goes to the point.

    Used for aliases, and for a point that two models share under different names.
    """

    __slots__ = ("_point", "name")

    def __init__(self, point: Point, name: str) -> None:
        object.__setattr__(self, "_point", point)
        object.__setattr__(self, "name", name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._point, attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(self._point, attribute, value)

    def __repr__(self) -> str:
        return f"<{self.name!r}, a view of {self._point!r}>"


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
