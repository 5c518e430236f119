"""One step for all points of an operation that caches activations and does nothing else.

A call then touches no hook of the point's own, which lies somewhere else in memory. Whoever asks what a point runs is told of
that hook all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from hookframe.core.caching_hooks import LoneCachingAttachment
from hookframe.core.cells import Cell, SharedCell

if TYPE_CHECKING:
    from hookframe.core.handles import Attachment
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.point_reading import ReadablePoint

__all__ = ["Together", "apart"]


class Together:
    """What all points of such an operation run.

    :ivar attachments: what one of them would run by itself.
    :ivar keys: point → what is stored there goes under this.
    :ivar cells: the points' cells, each once; of those that are shared, all points are among these. None before it is first run.
    :ivar shared: those that are shared, and how many points had each.
    :ivar parted: True if one of the attachments may have run by itself, and counted.
    :ivar gone: points that have left a shared cell since the step was put there, and run their own attachment in its place.
    """

    __slots__ = ("_cell_of", "_of", "attachments", "cells", "function", "gone", "keys", "parted", "shared")

    def __init__(self, attachments: Sequence[LoneCachingAttachment]) -> None:
        self.attachments = attachments
        self.keys: dict[HookPoint, str] = {}
        self.cells: list[Cell] | None = None
        self._cell_of: Sequence[Cell] = ()
        self.shared: list[tuple[SharedCell, int]] = []
        self.function = attachments[0].function
        self.parted = False
        self.gone: list[ReadablePoint] = []
        self._of: dict[int, LoneCachingAttachment] | None = None

    def lie_in(self, cells: Sequence[Cell]) -> None:
        """Have these cells from here on, one for each attachment."""
        self.keys = self.keys or {attachment.point: attachment.key for attachment in self.attachments}
        self._cell_of = cells
        self.cells = [*dict.fromkeys(cells)]
        self.shared = [(cell, cell.size) for cell in self.cells if isinstance(cell, SharedCell)]

    def at(self, who: int) -> LoneCachingAttachment:
        """What the point of this id would run by itself."""
        self.parted = True
        if self._of is None:
            self._of = {id(attachment.point): attachment for attachment in self.attachments}
        return self._of[who]

    def at_cells(self, cells: Collection[Cell]) -> list[Attachment]:
        """What the points of these cells would run by themselves."""
        self.parted = self.parted or bool(cells)
        both = zip(self.attachments, self._cell_of, strict=True)
        return [attachment for attachment, cell in both if cell in cells] if cells else []

    def fire(self, point: HookPoint, tensor: Any) -> Any:
        """Store ``tensor``; return it. What is not as nearly always is left to what the point would run by itself."""
        function = self.function
        cache = function.at_once
        if cache is None:  # the operation that this point still saw is over, and the next one stores in another way
            return self.at(id(point)).fire(point, tensor)
        key = self.keys[point]
        try:
            value = tensor.detach() if tensor.requires_grad else tensor
            if value._version:
                function.sink.references[key] = value, value._version
        except (AttributeError, RuntimeError):  # not a tensor; or one of inference mode, which has no version
            return self.at(id(point)).fire(point, tensor)
        cache[key] = value
        return tensor


def apart(cell: Cell, who: int) -> Any:
    """What the point of this id, whose cell it is, runs, if one does not know of the others."""
    plan = cell.plan
    return plan.at(who) if isinstance(plan, Together) else plan
