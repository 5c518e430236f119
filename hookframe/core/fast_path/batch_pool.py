"""Planned batches, kept for the next operation of the same kind, and the loops that attach and detach them.

The caller of :func:`put` and :func:`take` holds ``hooks.steps.lock``.
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
_OF_ONE_KIND = 4  # this many threads can run one kind at once without planning again


class BatchPool(Generic[BatchT]):
    """Keeps batches that no operation is using, up to a bound. A change that would make them wrong replaces the pool."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: dict[Hashable, list[BatchT]] = {}

    def take(self, kind: Hashable) -> BatchT | None:
        """A batch for an operation of this kind, which then belongs to the caller; None if the pool has none."""
        free = self._free.get(kind)
        try:
            return free.pop() if free else None
        except IndexError:  # another thread was faster
            return None

    def give_back(self, kind: Hashable, batch: BatchT) -> None:
        """Return ``batch`` for the next operation of this kind; the caller keeps no reference to it."""
        if kind not in self._free and len(self._free) >= _KINDS:
            self._free.pop(next(iter(self._free)), None)
        free = self._free.setdefault(kind, [])
        if len(free) < _OF_ONE_KIND:
            free.append(batch)


class Bulk:
    """What a batch lets each of its points run.

    ``cells``, ``plans`` and ``points`` are parallel lists, so that a loop touches only the memory it needs: a forward of
    the model has just emptied the processor's caches.

    :ivar attachments: the batch.
    :ivar cells: the cells of the points that get forward hooks only.
    :ivar plans: what each of these points is to run.
    :ivar points: these points themselves.
    :ivar others: the points that get backward hooks, or that listen; each with what it is to run and its backward hooks.
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


def take(bulk: Bulk, ends: bool = True) -> list[Attachment]:
    """Detach at each point that is as :func:`put` left it; return the attachments of the points that are not.

    :param ends: False if the graphs of the forwards that ran meanwhile go on calling the backward hooks.
    """
    changed: list[Attachment] = []
    try:
        for cell, plan in zip(bulk.cells, bulk.plans, strict=True):
            if cell.plan is plan:
                cell.plan = None
            else:
                changed += attachments_in(plan)
        for point, plan, bwd in bulk.others:
            cell, own = point._cell, point.__dict__
            # all backward hooks share one step, so that the plan alone does not tell them apart
            if cell.plan is plan and own["_bwd"] is bwd:
                cell.plan = None
                own["_bwd"] = ()
                if ends:
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
