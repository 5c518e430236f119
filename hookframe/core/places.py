"""Where the hooks of a batch go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hookframe.core.handles import Attachment
from hookframe.core.steps import steps_for

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint

__all__ = ["Places"]


class Places:
    """What a batch wants of each of its points, ready to be put there if the point is idle.

    :ivar forward: pairs of a point's ``__dict__`` and what the point would run, for points that get forward hooks alone.
    :ivar both: the same for points that get backward hooks as well, and these as third.
    :ivar listening: the same, with the point itself as first, for points that want to know.
    """

    __slots__ = ("both", "forward", "listening")

    def __init__(self, attachments: Sequence[Attachment]) -> None:
        self.forward: list[tuple[dict[str, Any], tuple[Any, ...]]] = []
        self.both: list[tuple[dict[str, Any], tuple[Any, ...], tuple[Attachment, ...]]] = []
        self.listening: list[tuple[HookPoint, tuple[Any, ...], tuple[Attachment, ...]]] = []
        points = {id(attachment.point) for attachment in attachments}
        if len(points) == len(attachments):
            for attachment in attachments:
                point, terms = attachment.point, attachment.terms
                if terms.direction == "fwd" and terms.scope is None and not point.listens:
                    self.forward.append((point.__dict__, (attachment,)))
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
        plan = steps_for(fwd, bwd)
        if point.listens:
            self.listening.append((point, plan, bwd))
        elif bwd:
            self.both.append((point.__dict__, plan, bwd))
        else:
            self.forward.append((point.__dict__, plan))
