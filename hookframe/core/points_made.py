"""How many hook points were made: if none was since a model was read, none can have come to it where nobody looks."""

from __future__ import annotations

__all__ = ["points_made"]


class _PointsMade:
    """A count for the whole process; of two threads that count at once, one may be missed, but never both."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0


points_made = _PointsMade()
