"""A hook point as one hook function sees it: the point itself, under another name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint

__all__ = ["PointView"]


class PointView:
    """Shows ``point`` under ``name``; everything else, assignments included, goes to the point.

    Used for aliases, and for a point that two models share under different names.
    """

    __slots__ = ("_point", "name")

    def __init__(self, point: HookPoint, name: str) -> None:
        object.__setattr__(self, "_point", point)
        object.__setattr__(self, "name", name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._point, attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(self._point, attribute, value)

    def __repr__(self) -> str:
        return f"<{self.name!r}, a view of {self._point!r}>"
