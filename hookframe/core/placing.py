"""Where what points run is written, for many at once: for the hook point's own file, which asks first."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from hookframe.core.steps import attachments_in
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
    "put",
    "store",
    "take",
]

lock = threading.RLock()
"""Held while what points run changes, and while a count of open contexts does; running models read both without."""
_untraced: WeakSet[HookPoint] = WeakSet()  # all there are, as long as the compiler has not come across one


def put(places: Places) -> list[Attachment]:  # loops, each as short as it can be
    """Say what runs at each point that is idle; the attachments for those that are not.

    The loops are as short as they can be, in both, and touch no more than they have to: everything that is cached runs
    through them, when the model has just emptied the processor's caches.
    """
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


def take(places: Places) -> list[Attachment]:  # noqa: PLR0912  # as above
    """Let the points be idle again; the attachments for those at which somebody has changed something meanwhile."""
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


def store(point: ReadablePoint, plan: Any) -> None:
    """Say what one point runs, there and where the compiler looks."""
    point._cell.plan = plan
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
