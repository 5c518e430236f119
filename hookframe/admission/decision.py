"""All objections to a batch, and what follows from them. Nothing that can be derived is stored."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from hookframe.admission.objection import Action, Objection
from hookframe.admission.request import Request

__all__ = ["Decision"]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Decision:
    """What an admission decided about one batch of requests.

    :ivar requests: the batch, in the order in which it was asked for.
    :ivar objections: every objection, ordered by request, then by who made it.
    :ivar number: counts the decisions of this process, from 1.
    :ivar errors: what failing plugins raised, in the order in which they were asked; not pickled.
    """

    requests: Sequence[Request]
    objections: tuple[Objection, ...] = ()
    number: int = field(default_factory=_numbers.__next__, compare=False)
    errors: tuple[BaseException, ...] = field(default=(), compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Decision], tuple[Sequence[Request], tuple[Objection, ...], int]]:
        return type(self), (self.requests, self.objections, self.number)

    @property
    def allowed(self) -> bool:
        """True if nothing refuses the batch."""
        return not self.denials

    @property
    def denials(self) -> tuple[Objection, ...]:
        """The objections that refuse the batch."""
        return tuple(objection for objection in self.objections if objection.refuses)

    @property
    def warnings(self) -> tuple[Objection, ...]:
        """The objections that the user is warned about."""
        return tuple(objection for objection in self.objections if objection.action is Action.WARN)

    @property
    def skips(self) -> tuple[Objection, ...]:
        """The objections that leave one swept-up point out."""
        return tuple(o for o in self.objections if o.action is Action.SKIP and not o.refuses)

    @property
    def skipped(self) -> frozenset[int]:
        """Indices of the requests that are left out."""
        return frozenset(objection.request.index for objection in self.skips)

    @property
    def device(self) -> str | None:
        """The device to use instead of the chosen one, if an objection names one."""
        return next((o.device for o in self.objections if o.device is not None), None)

    def describe(self) -> str:
        """Say what was decided, with each reason and its remedy on lines of their own."""
        if not self.objections:
            return f"{len(self.requests)} requests admitted, no objections"
        if self.allowed:
            head = f"{len(self.requests)} requests admitted with {len(self.objections)} objections"
            return "\n".join([head, *_lines(self.objections)])
        route = getattr(self.requests[0], "route", "?") if len(self.requests) else "?"
        refused = len({objection.request.index for objection in self.denials})
        head = f"{route} refused ({refused} of {len(self.requests)} requests); nothing was changed"
        return "\n".join([head, *_lines(self.denials)])


def _lines(objections: Sequence[Objection], limit: int = 12) -> list[str]:
    lines: list[str] = []
    for objection in objections[:limit]:
        lines.append(f"  - {objection.request.subject}: {objection.message}")
        where = f" ({objection.origin})" if objection.origin else ""
        lines.append(f"    by {objection.source or 'unknown'}, rule {objection.rule!r}{where}")
        lines.append(f"    remedy: {objection.remedy}")
    if len(objections) > limit:
        lines.append(f"  … and {len(objections) - limit} more: see .decision.objections")
    return lines
