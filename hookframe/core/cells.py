"""Where it lies what a hook point runs."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookframe.core.point_reading import ReadablePoint

__all__ = ["Cell", "Origin"]


class Cell:
    """Holds what one point runs: something with ``fire``, or None.

    Apart from the point, which is a torch module: to set anything there takes a hundred nanoseconds at the least.
    """

    __slots__ = ("plan",)

    def __init__(self) -> None:
        self.plan: Any = None


class Origin:
    """What copies of a point's dict have in common with the point: they find by it what the point runs.

    :ivar cell: the point's cell, as of now.
    :ivar point: a weak reference to the point.
    """

    __slots__ = ("cell", "point")

    def __init__(self, point: ReadablePoint, cell: Cell) -> None:
        self.cell = cell
        self.point = weakref.ref(point)
