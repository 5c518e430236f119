"""Where it lies what a hook point runs."""

from __future__ import annotations

from typing import Any

__all__ = ["Cell", "SharedCell"]


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
    one place in memory for all of its points, and what is done at all of them is written once.

    :ivar size: how many points have it. One that has left never comes back.
    """

    __slots__ = ("size",)

    def __init__(self, size: int = 0) -> None:
        super().__init__()
        self.size = size
