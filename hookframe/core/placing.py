"""Putting the hooks of a batch where they go, and taking them away: for the hook point's own file, which asks first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookframe.core.steps import attachments_in
from hookframe.core.tracing import tracing

if TYPE_CHECKING:
    from hookframe.core.handles import Attachment
    from hookframe.core.places import Group, Places

__all__ = ["put", "take"]


def put(places: Places) -> list[Attachment]:
    """Say what runs at each point that is idle; the attachments for those that are not.

    The loops are as short as they can be, in both, and touch no more than they have to: everything that is cached runs
    through them, when the model has just emptied the processor's caches.
    """
    others: list[Attachment] = []
    forward, both, listening = places.forward, places.both, places.listening
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
    for cell, plan, point, bwd in zip(listening.cells, listening.plans, listening.points, listening.bwd, strict=True):
        if cell.plan is None:
            point._take_up(plan, bwd)
        else:
            others += attachments_in(plan, bwd)
    if tracing.begun:
        _mirror(forward)
        _mirror(both)
    return others


def take(places: Places) -> list[Attachment]:
    """Let the points be idle again; the attachments for those at which somebody has changed something meanwhile."""
    others: list[Attachment] = []
    forward, both, listening = places.forward, places.both, places.listening
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
    for cell, plan, point, bwd in zip(listening.cells, listening.plans, listening.points, listening.bwd, strict=True):
        if cell.plan is plan and point._bwd is bwd:
            point._take_up(None, ())
            for attachment in bwd:
                attachment.run = 0
        else:
            others += attachments_in(plan, bwd)
    if tracing.begun:
        _mirror(forward)
        _mirror(both)
    return others


def _mirror(group: Group) -> None:
    for cell, point in zip(group.cells, group.points, strict=True):
        point.__dict__["_traced"] = cell.plan
