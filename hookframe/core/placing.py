"""Where what points run is written, for many at once: for the hook point's own file, which asks first."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from hookframe.core.cells import Cell, SharedCell
from hookframe.core.steps import attachments_in
from hookframe.core.together import Together
from hookframe.core.tracing import run_while_traced, tracing

if TYPE_CHECKING:
    from hookframe.core.handles import Attachment
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.places import Places
    from hookframe.core.point_reading import ReadablePoint

__all__ = [
    "begin_tracing",
    "expect_tracing",
    "lock",
    "mirror",
    "own",
    "part",
    "put",
    "share",
    "store",
    "take",
]

lock = threading.RLock()
"""Held while what points run changes, and while a count of open contexts does; running models read both without."""
_untraced: WeakSet[HookPoint] = WeakSet()  # all there are, as long as the compiler has not come across one


def put(places: Places) -> list[Attachment]:  # noqa: C901, PLR0912  # loops, each as short as it can be
    """Say what runs at each point that is idle; the attachments for those that are not.

    The loops are as short as they can be, in both, and touch no more than they have to: everything that is cached runs
    through them, when the model has just emptied the processor's caches.
    """
    together = places.chosen
    if together is not None and not tracing.begun:
        settled = together.cells is not None
        for shared, size in together.shared:
            settled = settled and shared.size == size  # else a point has left
        if not settled:
            places.settle()
        busy = []
        for cell in together.cells or ():
            if cell.plan is None:
                cell.plan = together
            else:
                busy.append(cell)
        return together.at_cells(busy)
    if together is not None:
        together.parted = True  # the compiler looks at each point by itself
        places.chosen = None
    places.stand_alone()
    others: list[Attachment] = []
    forward, both, listening = places.forward, places.both, places.listening
    try:
        for cell, plan in zip(forward.cells, forward.plans, strict=True):
            if cell.plan is None:
                cell.plan = plan
            else:
                others += attachments_in(plan)
        for cell, plan, point, bwd in zip(both.cells, both.plans, both.points, both.bwd, strict=True):
            if cell.plan is None:
                cell.plan = plan
                point.__dict__["_bwd"] = bwd
            else:
                others += attachments_in(plan, bwd)
        for cell, plan, point, bwd in zip(
            listening.cells, listening.plans, listening.points, listening.bwd, strict=True
        ):
            if cell.plan is None:
                point.becomes("active")  # first: if it raises, nothing was attached
                cell.plan = plan
                point.__dict__["_bwd"] = bwd
            else:
                others += attachments_in(plan, bwd)
    finally:
        if tracing.begun:
            mirror(places)
    return others


def take(places: Places) -> list[Attachment]:  # noqa: C901, PLR0912  # as above
    """Let the points be idle again; the attachments for those at which somebody has changed something meanwhile."""
    together = places.chosen
    if together is not None:
        try:
            changed = []
            for cell in together.cells or ():
                if cell.plan is together:
                    cell.plan = None
                else:
                    changed.append(cell)
            gone, together.gone = together.gone, []
            return [*together.at_cells(changed), *[together.at(id(point)) for point in gone]]
        finally:
            if tracing.begun:  # since they were put there
                mirror(places)
    others: list[Attachment] = []
    forward, both, listening = places.forward, places.both, places.listening
    try:
        for cell, plan in zip(forward.cells, forward.plans, strict=True):
            if cell.plan is plan:
                cell.plan = None
            else:
                others += attachments_in(plan)
        for cell, plan, point, bwd in zip(both.cells, both.plans, both.points, both.bwd, strict=True):
            own = point.__dict__
            if cell.plan is plan and own["_bwd"] is bwd:  # one step may stand for backward hooks, whosever they are
                cell.plan = None
                own["_bwd"] = ()
                for attachment in bwd:
                    attachment.run = 0
            else:
                others += attachments_in(plan, bwd)
        for cell, plan, point, bwd in zip(
            listening.cells, listening.plans, listening.points, listening.bwd, strict=True
        ):
            own = point.__dict__
            if cell.plan is plan and own["_bwd"] is bwd:
                cell.plan = None
                own["_bwd"] = ()
                for attachment in bwd:
                    attachment.run = 0
                point.becomes("idle")
            else:
                others += attachments_in(plan, bwd)
    finally:
        if tracing.begun:
            mirror(places)
    return others


def mirror(places: Places) -> None:
    """Write what each of these points runs where the compiler looks."""
    for group in (places.forward, places.both, places.listening):
        for point in group.points:
            point.__dict__["_traced"] = point._plan


def part(point: ReadablePoint) -> None:
    """Let ``point`` run steps of its own, if it shared one with others."""
    with lock:
        store(point, point._plan)


def own(point: ReadablePoint) -> Cell:
    """The cell of ``point``, which has one of its own from here on."""
    with lock:
        cell = point._cell
        if not isinstance(cell, SharedCell):
            return cell
        alone = Cell()
        alone.plan = point._plan
        if isinstance(cell.plan, Together):
            cell.plan.gone.append(point)
        _move(point, cell, alone)
        return alone


def share(points: Iterable[ReadablePoint]) -> None:
    """Let all of these share one cell that run nothing, and at which nothing ever happened alone."""
    with lock:
        shared, size = SharedCell(), 0
        for point in points:
            cell = point._cell
            if isinstance(cell, SharedCell) and cell.plan is None and cell is not shared and not point.listens:
                _move(point, cell, shared)
                size += 1
        shared.size = size


def _move(point: ReadablePoint, cell: SharedCell, other: Cell) -> None:
    size, cell.size = cell.size, 0  # an interrupt leaves it as one that is for no operation
    point.__dict__["_origin"].cell = other
    object.__setattr__(point, "_cell", other)  # torch's own costs microseconds
    cell.size = size - 1


def store(point: ReadablePoint, plan: Any) -> None:
    """Say what one point runs, there and where the compiler looks."""
    cell = point._cell
    if isinstance(cell, SharedCell) and (plan is not None or cell.plan is not None):
        cell = own(point)
    cell.plan = plan
    if tracing.begun:
        point.__dict__["_traced"] = plan


def expect_tracing(point: HookPoint) -> None:
    """Say that ``point`` is a new one."""
    with lock:
        if not tracing.begun:
            _untraced.add(point)


@run_while_traced
def begin_tracing() -> None:
    """Write what each point runs where the compiler looks; from then on, whoever attaches does.

    At all points: code that was compiled for one module serves others of its kind, which are never traced themselves.
    """
    with lock:
        if not tracing.begun:
            tracing.begun = True
            for point in _untraced:
                point.__dict__["_traced"] = point._plan
            _untraced.clear()
