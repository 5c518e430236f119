"""Where the hooks of a batch go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hookframe.core.handles import Attachment
from hookframe.core.steps import Cell, plan_for

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint

__all__ = ["Places"]


class Places:
    """What a batch wants of each of its points, ready to be put there if the point is idle.

    :ivar forward: cells of points, and what these would run, for points of which this is all that has to be said.
    :ivar more: points, what they would run, and their backward hooks, for those that get some or that want to know.
    """

    __slots__ = ("forward", "more")

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.forward: list[tuple[Cell, Any, HookPoint]] = []
        self.more: list[tuple[HookPoint, Any, tuple[Attachment, ...]]] = []
        points = {id(attachment.point) for attachment in attachments}
        if len(points) == len(attachments):
            for attachment in attachments:
                point, terms = attachment.point, attachment.terms
                if terms.direction == "fwd" and terms.scope is None and not point.listens:
                    self.forward.append((point.cell, attachment, point))
                else:
                    self._place(point, (attachment,))
            return
        by_point: dict[int, list[Attachment]] = {}
        for attachment in attachments:
            by_point.setdefault(id(attachment.point), []).append(attachment)
        for there in by_point.values():
            self._place(there[0].point, there)

    def _place(self, point: HookPoint, there: Sequence[Attachment]) -> None:
        fwd, bwd = (tuple([a for a in there if a.direction == direction]) for direction in ("fwd", "bwd"))
        plan = plan_for(fwd, bwd)
        if bwd or point.listens:
            self.more.append((point, plan, bwd))
        else:
            self.forward.append((point.cell, plan, point))
