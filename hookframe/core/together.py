"""One step for all points of an operation that caches activations and does nothing else.

Each point keeps the key for it, so that a call touches what belongs to the point anyway and no hook of its own, which lies
somewhere else in memory. Whoever asks what a point runs is told of that hook all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hookframe.core.caching_hooks import LoneCachingAttachment

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.steps import Cell

__all__ = ["Together", "apart"]


class Together:
    """What all points of such an operation run.

    :ivar cells: the points' cells.
    :ivar keys: what is stored there goes under these.
    :ivar attachments: what one of them would run by itself.
    :ivar parted: True if one of these may have run by itself, and counted.
    """

    __slots__ = ("_of", "attachments", "cells", "function", "keys", "parted")

    def __init__(self, cells: Sequence[Cell], attachments: Sequence[LoneCachingAttachment]) -> None:
        self.cells = cells
        self.attachments = attachments
        self.keys = [attachment.key for attachment in attachments]
        self.function = attachments[0].function
        self.parted = False
        self._of: dict[int, LoneCachingAttachment] | None = None

    def at(self, cell: Cell) -> LoneCachingAttachment:
        """What the point with this cell would run by itself."""
        self.parted = True
        if self._of is None:
            self._of = dict(zip(map(id, self.cells), self.attachments, strict=True))
        return self._of[id(cell)]

    def fire(self, point: HookPoint, tensor: Any, cell: Cell | None = None) -> Any:
        """Store ``tensor``; return it. What is not as nearly always is left to what the point would run by itself.

        :param cell: the point's, from whoever knows it.
        """
        function = self.function
        if cell is None:
            cell = point._cell
        cache, key = function.at_once, cell.key
        if cell.plan is not self or cache is None:
            # since the point looked, the operation has ended, or another has begun
            return self.at(cell).fire(point, tensor)
        try:
            value = tensor.detach() if tensor.requires_grad else tensor
            if value._version:
                function.sink.references[key] = value, value._version
        except (AttributeError, RuntimeError):  # not a tensor; or one of inference mode, which has no version
            return self.at(cell).fire(point, tensor)
        cache[key] = value
        return tensor


def apart(cell: Cell) -> Any:
    """What the point with this cell runs, if one does not know of the others."""
    plan = cell.plan
    return plan.at(cell) if isinstance(plan, Together) else plan
