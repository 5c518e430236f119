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

    :ivar cells: cells of points for which no more has to be said than what these run.
    :ivar plans: what that is, for each of them.
    :ivar points: the points, for each of them: apart, as they are needed but where code is compiled.
    :ivar more: points, what they would run, and their backward hooks, for those that get some or that want to know.
    """

    __slots__ = ("cells", "more", "plans", "points")

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.cells: list[Cell] = []
        self.plans: list[Any] = []
        self.points: list[HookPoint] = []
        self.more: list[tuple[HookPoint, Any, tuple[Attachment, ...]]] = []
        points = {id(attachment.point) for attachment in attachments}
        if len(points) == len(attachments):
            for attachment in attachments:
                point, terms = attachment.point, attachment.terms
                if terms.direction == "fwd" and terms.scope is None and not point.listens:
                    self._place_forward(point, attachment)
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
            self._place_forward(point, plan)

    def _place_forward(self, point: HookPoint, plan: Any) -> None:
        self.cells.append(point.cell)
        self.plans.append(plan)
        self.points.append(point)
