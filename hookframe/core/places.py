"""Where the hooks of a batch go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from hookframe.core.caching_hooks import LoneCachingAttachment
from hookframe.core.cells import Cell, SharedCell
from hookframe.core.handles import Attachment
from hookframe.core.placing import own
from hookframe.core.steps import plan_for
from hookframe.core.together import Together

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
        self.cells.append(own(point))
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
    :ivar shares: True if one of the cells of points that get forward hooks alone may be shared.
    :ivar together: one step that all of them can run, if there is one.
    :ivar chosen: that step, if they run it this time.
    """

    __slots__ = ("both", "chosen", "forward", "listening", "shares", "together")

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.together: Together | None = None
        self.chosen: Together | None = None
        self.shares = False
        self.forward, self.both, self.listening = Group(), Group(), Group()
        points = [attachment.point for attachment in attachments]
        terms = {attachment.terms for attachment in attachments}
        kinds: set[type[HookPoint]] = {*map(type, points)}
        forward_alone = all(common.direction == "fwd" and common.scope is None for common in terms)
        if forward_alone and len({*map(id, points)}) == len(points) and not any(kind.listens for kind in kinds):
            self.forward.fill(points, [point._cell for point in points], attachments)  # nearly always
            self.shares = SharedCell in {*map(type, self.forward.cells)}
            if {*map(type, attachments)} == {LoneCachingAttachment} and {a.plain for a in attachments} == {True}:
                self.together = Together(cast("Sequence[LoneCachingAttachment]", attachments))
            else:
                self.stand_alone()
            return
        by_point: dict[int, list[Attachment]] = {}
        for attachment in attachments:
            by_point.setdefault(id(attachment.point), []).append(attachment)
        for there in by_point.values():
            self._place(there[0].point, there)

    def settle(self) -> None:
        """Find out anew which cells are shared; for whoever holds the lock."""
        if self.together is not None:
            self.forward.cells = _as_shared(self.forward.points)
            self.shares = SharedCell in {*map(type, self.forward.cells)}
            self.together.lie_in(self.forward.cells)

    def stand_alone(self) -> None:
        """Let each point have a cell of its own, for a step of its own; for whoever holds the lock."""
        if self.shares:
            self.forward.cells = [*map(own, self.forward.points)]
            self.shares = False
            if self.together is not None:
                self.together.lie_in(self.forward.cells)

    def _place(self, point: HookPoint, there: Sequence[Attachment]) -> None:
        fwd, bwd = (tuple([a for a in there if a.direction == direction]) for direction in ("fwd", "bwd"))
        group = self.listening if point.listens else self.both if bwd else self.forward
        group.add(point, plan_for(fwd, bwd), bwd)


def _as_shared(points: Sequence[HookPoint]) -> list[Cell]:
    """The cells of these points, which have one of their own but where all points that share one are among these."""
    found = [point._cell for point in points]
    if SharedCell not in {*map(type, found)}:
        return found
    whole = {cell for cell, size in Counter(found).items() if not isinstance(cell, SharedCell) or cell.size == size}
    if whole.issuperset(found):
        return found
    return [cell if cell in whole else own(point) for cell, point in zip(found, points, strict=True)]
