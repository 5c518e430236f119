"""Where the hooks of a batch go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hookframe.core.cells import Cell
from hookframe.core.handles import Attachment
from hookframe.core.steps import plan_for

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint

__all__ = ["Group", "Places"]


class Group:
    """Points that are alike in what has to be done there, in columns: a loop then touches no more than it needs.

    :ivar cells: their cells.
    :ivar plans: what they would run.
    :ivar points: the points themselves.
    :ivar bwd: their backward hooks; none in a group of points that get forward hooks alone.
    """

    __slots__ = ("bwd", "cells", "plans", "points")

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self.plans: list[Any] = []
        self.points: list[HookPoint] = []
        self.bwd: list[tuple[Attachment, ...]] = []

    def add(self, point: HookPoint, plan: Any, bwd: tuple[Attachment, ...]) -> None:
        """Have one more."""
        self.cells.append(point._cell)
        self.plans.append(plan)
        self.points.append(point)
        self.bwd.append(bwd)

    def fill(self, points: list[HookPoint], cells: list[Cell], attachments: Sequence[Attachment]) -> None:
        """Have these, each of which runs one forward hook alone."""
        self.cells = cells
        self.plans = [*attachments]
        self.points = points
        self.bwd = [()] * len(points)


class Places:
    """What a batch wants of each of its points, ready to be put there if the point is idle.

    :ivar forward: points that get forward hooks alone.
    :ivar both: points that get backward hooks.
    :ivar listening: points that want to know, whatever they get.
    """

    __slots__ = ("both", "forward", "listening")

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.forward, self.both, self.listening = Group(), Group(), Group()
        points = [attachment.point for attachment in attachments]
        terms = {attachment.terms for attachment in attachments}
        kinds: set[type[HookPoint]] = {*map(type, points)}
        forward_alone = all(common.direction == "fwd" and common.scope is None for common in terms)
        if forward_alone and len({*map(id, points)}) == len(points) and not any(kind.listens for kind in kinds):
            self.forward.fill(points, [point._cell for point in points], attachments)  # nearly always
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
