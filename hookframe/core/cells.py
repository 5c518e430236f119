"""Where it lies what a hook point runs."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookframe.core.point_reading import ReadablePoint

__all__ = ["Cell", "Origin", "SharedCell"]


class Cell:
    """Holds what one point runs: something with ``fire``, or None.

    Apart from the point, which is a torch module: to set anything there takes a hundred nanoseconds at the least.
    """

    __slots__ = ("plan",)

    def __init__(self) -> None:
        self.plan: Any = None


class SharedCell(Cell):
    """Holds what several points run: nothing, or one step that all of them can run.

    All points of a model have one until something happens at one of them alone. A model that runs without hooks then looks at
    one place in memory for all of its points, and what is done at all of them is written once. Where hooks are counted for
    somebody, or values are stored in another way than as they are, each point gets a cell of its own all the same.

    :ivar size: how many points have it; one that has left never comes back. What is put there is for all of these, so it is for
        operations on all of them alone. 0 if that is not known: then it is for none.
    """

    __slots__ = ("size",)

    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self.size = size


class Origin:
    """What copies of a point's dict have in common with the point: they find by it what the point runs.

    :ivar cell: the point's cell, as of now.
    :ivar point: a weak reference to the point.
    """

    __slots__ = ("cell", "point")

    def __init__(self, point: ReadablePoint, cell: Cell) -> None:
        self.cell = cell
        self.point = weakref.ref(point)
