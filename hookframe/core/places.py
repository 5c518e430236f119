"""Where the hooks of a batch go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hookframe.core.handles import Attachment
from hookframe.core.steps import Cell, plan_for

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint

__all__ = ["Group", "Places"]


class Group:
    """Points that are alike in what has to be done there, in columns: a loop then touches no more than it needs.

    :ivar cells: their cells.
    :ivar plans: what they would run.
    :ivar points: the points themselves.
    :ivar bwd: their backward hooks, in a group that has some.
    """

    __slots__ = ("bwd", "cells", "plans", "points")

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self.plans: list[Any] = []
        self.points: list[HookPoint] = []
        self.bwd: list[tuple[Attachment, ...]] = []

    def add(self, point: HookPoint, plan: Any, bwd: tuple[Attachment, ...] = ()) -> None:
        """Have one more."""
        self.cells.append(point.cell)
        self.plans.append(plan)
        self.points.append(point)
        self.bwd.append(bwd)


class Places:
    """What a batch wants of each of its points, ready to be put there if the point is idle.

    :ivar forward: points that get forward hooks alone.
    :ivar both: points that get backward hooks.
    :ivar listening: points that want to know, whatever they get.
    """

    __slots__ = ("both", "forward", "listening")

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.forward, self.both, self.listening = Group(), Group(), Group()
        points = {id(attachment.point) for attachment in attachments}
        if len(points) == len(attachments):
            forward = self.forward
            cells, plans, at = forward.cells, forward.plans, forward.points
            for attachment in attachments:
                point, terms = attachment.point, attachment.terms
                if terms.direction == "fwd" and terms.scope is None and not point.listens:
                    cells.append(point.cell)  # as Group.add does it: nearly all go this way, one at a time
                    plans.append(attachment)
                    at.append(point)
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
        group = self.listening if point.listens else self.both if bwd else self.forward
        group.add(point, plan_for(fwd, bwd), bwd)
