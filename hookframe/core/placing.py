"""Putting the hooks of a batch where they go, and taking them away: for the hook point's own file, which asks first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookframe.core.steps import attachments_in
from hookframe.core.tracing import tracing

if TYPE_CHECKING:
    from hookframe.core.handles import Attachment
    from hookframe.core.places import Places

__all__ = ["put", "take"]


def put(places: Places) -> list[Attachment]:
    """Say what runs at each point that is idle; the attachments for those that are not.

    The loops are as short as they can be, in both: everything that is cached runs through them.
    """
    others: list[Attachment] = []
    traced = tracing.begun
    for cell, plan, point in places.forward:
        if cell.plan is None:
            cell.plan = plan
            if traced:
                point.__dict__["_traced"] = plan
        else:
            others += attachments_in(plan)
    for point, plan, bwd in places.more:
        if point._plan is None:
            point._take_up(plan, bwd)
        else:
            others += attachments_in(plan, bwd)
    return others


def take(places: Places) -> list[Attachment]:
    """Let the points be idle again; the attachments for those at which somebody has changed something meanwhile."""
    others: list[Attachment] = []
    traced = tracing.begun
    for cell, plan, point in places.forward:
        if cell.plan is plan:
            cell.plan = None
            if traced:
                point.__dict__["_traced"] = None
        else:
            others += attachments_in(plan)
    for point, plan, bwd in places.more:
        if point._plan is plan and point._bwd is bwd:  # what runs for backward hooks is one step, whosever they are
            point._take_up(None, ())
            for attachment in bwd:
                attachment.run = 0
        else:
            others += attachments_in(plan, bwd)
    return others
