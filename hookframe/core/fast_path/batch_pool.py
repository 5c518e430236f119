"""Batches that were planned before: kept for the next operation of the same kind, and put on and off points in one loop.

:func:`put` and :func:`take` may leave out any attachment: they return those, and the caller attaches or detaches each of
them by itself. Both are called while ``hooks.steps.lock`` is held.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hookframe.core.hooks.steps import attachments_in, plan_for
from hookframe.core.torch_compat.dynamo import tracing

if TYPE_CHECKING:
    from hookframe.core.hooks.attachment import Attachment
    from hookframe.core.hooks.steps import Cell
    from hookframe.core.values.protocols import Point

__all__ = ["BatchPool", "Bulk", "put", "take"]


BatchT = TypeVar("BatchT")


_KINDS = 64


_OF_ONE_KIND = 4  # so many threads can run it at once without planning anew


class BatchPool(Generic[BatchT]):
    """Holds batches that no operation uses; bounded. Whatever would make them wrong replaces the pool with an empty one."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: dict[Hashable, list[BatchT]] = {}

    def take(self, kind: Hashable) -> BatchT | None:
        """A batch for an operation of this kind, the caller's alone from here on; None if there is none."""
        free = self._free.get(kind)
        try:
            return free.pop() if free else None
        except IndexError:  # another thread was faster
            return None

    def give_back(self, kind: Hashable, batch: BatchT) -> None:
        """Let the next operation of this kind have ``batch``, to which nothing else may hold on."""
        if kind not in self._free and len(self._free) >= _KINDS:
            self._free.pop(next(iter(self._free)), None)
        free = self._free.setdefault(kind, [])
        if len(free) < _OF_ONE_KIND:
            free.append(batch)


class Bulk:
    """What a batch wants each of its points to run.

    The columns are lists of equal length, so that a loop touches no more memory than it needs: a forward of the model has
    just emptied the processor's caches.

    :ivar attachments: the batch.
    :ivar cells: the cells of the points that get forward hooks only,
    :ivar plans: and what each of these would run.
    :ivar points: the points themselves.
    :ivar others: the rest: points that get backward hooks, or that listen; each with what it would run and its backward hooks.
    """

    __slots__ = ("attachments", "cells", "others", "plans", "points")

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.attachments = attachments
        self.cells: list[Cell] = []
        self.plans: list[Any] = []
        self.points: list[Point] = []
        self.others: list[tuple[Point, Any, tuple[Attachment, ...]]] = []
        points = [attachment.point for attachment in attachments]
        kinds: set[Any] = {*map(type, points)}
        options = {attachment.options for attachment in attachments}
        forward_only = all(option.direction == "fwd" and option.scope is None for option in options)
        if forward_only and len({*map(id, points)}) == len(points) and not any(kind.listens for kind in kinds):
            self.points, self.cells, self.plans = points, [point._cell for point in points], [*attachments]
            return
        by_point: dict[int, list[Attachment]] = {}
        for attachment in attachments:
            by_point.setdefault(id(attachment.point), []).append(attachment)
        for there in by_point.values():
            self._place(there[0].point, there)

    def _place(self, point: Point, there: Sequence[Attachment]) -> None:
        fwd, bwd = (tuple([a for a in there if a.direction == direction]) for direction in ("fwd", "bwd"))
        plan = plan_for(fwd, bwd)
        if bwd or point.listens:
            self.others.append((point, plan, bwd))
        else:
            self.points.append(point)
            self.cells.append(point._cell)
            self.plans.append(plan)

    def mirror(self) -> None:
        """Write what each point runs where torch.compile looks."""
        for point in (*self.points, *(point for point, _, _ in self.others)):
            point.__dict__["_traced"] = point._plan


def put(bulk: Bulk) -> list[Attachment]:
    """Attach at each point that is idle; return the attachments of the points that are not."""
    busy: list[Attachment] = []
    try:
        for cell, plan in zip(bulk.cells, bulk.plans, strict=True):
            if cell.plan is None:
                cell.plan = plan
            else:
                busy += attachments_in(plan)
        for point, plan, bwd in bulk.others:
            cell = point._cell
            if cell.plan is None:
                if point.listens:
                    point.becomes("active")  # first: if it raises, nothing was attached
                cell.plan = plan
                point.__dict__["_bwd"] = bwd
            else:
                busy += attachments_in(plan, bwd)
    finally:
        if tracing.begun:
            bulk.mirror()
    return busy


def take(bulk: Bulk) -> list[Attachment]:
    """Detach at each point that is as :func:`put` left it; return the attachments of the points that are not."""
    changed: list[Attachment] = []
    try:
        for cell, plan in zip(bulk.cells, bulk.plans, strict=True):
            if cell.plan is plan:
                cell.plan = None
            else:
                changed += attachments_in(plan)
        for point, plan, bwd in bulk.others:
            cell, own = point._cell, point.__dict__
            if (
                cell.plan is plan and own["_bwd"] is bwd
            ):  # the step for backward hooks is the same object for all of them
                cell.plan = None
                own["_bwd"] = ()
                for attachment in bwd:
                    attachment.generation = 0
                if point.listens:
                    point.becomes("idle")
            else:
                changed += attachments_in(plan, bwd)
    finally:
        if tracing.begun:
            bulk.mirror()
    return changed
