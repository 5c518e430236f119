"""The planned hooks of one operation; when it is over, the next operation of the same kind can have them.

Planning costs more than firing. What is planned depends on the route, on which points are meant, and on where the
functions come from; the functions themselves are put in when an operation begins, and taken out when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from hookframe.admission.drafts import requests_at
from hookframe.admission.request import Direction, FunctionInfo, HookRequest, LazyRequests, Route
from hookframe.core.evidence import counts
from hookframe.core.handles import Attachment
from hookframe.core.places import Places
from hookframe.core.planning import Nature, nature_of, plan_attachments
from hookframe.core.terms import Owner, Terms

if TYPE_CHECKING:
    from hookframe.core.asking import Asked
    from hookframe.core.cache_sink import CacheSink
    from hookframe.core.kept_points import KeptPoints
    from hookframe.core.named_model import NamedModel
    from hookframe.core.scope import Scope
    from hookframe.core.two_way_caching import LateGuards
    from hookframe.core.types import HookFunction

__all__ = ["Batch"]


_terms: Callable[[Attachment], Terms] = attrgetter("terms")


class Batch:
    """Planned attachments, in the order in which they were asked for.

    :ivar requests: what an admission is asked; the same object as long as the batch is.
    :ivar owner: what the attachments know of their operation; None if they belong to none.
    :ivar places: the attachments by point, for a batch that can be used again; else None.
    :ivar dressed: True if something goes around one of the functions, such as a check that it only reads.
    :ivar shared: True if one of the points belongs to other models as well, which have a say too.
    :ivar exact: True if one of the points was asked for by its name.
    :ivar caching: True if there are caching hooks alone.
    """

    __slots__ = (
        "_counted", "_infos", "_labels", "_parts", "_started", "_whole", "attachments", "caching", "dressed", "exact", "owner",
        "places", "requests", "shared",
    )  # fmt: skip

    def __init__(self, parts: Sequence[Sequence[Attachment]], route: Route, owner: Owner | None = None) -> None:
        self._parts: Sequence[Sequence[Any]] = parts
        self._infos: list[FunctionInfo] = []
        self.owner = owner
        self.attachments = [attachment for part in parts for attachment in part]
        self.requests = LazyRequests(partial(_requests, parts, self._infos, route), len(self.attachments))
        self.exact = True in {attachment.exact for attachment in self.attachments}
        self.dressed = any(a.dressed for a in {a.terms: a for a in self.attachments}.values())
        kinds: set[type[Attachment]] = {*map(type, self.attachments)}
        self.caching = all(kind.caches for kind in kinds)
        self.places: Places | None = None
        self._whole: Any = None
        self.shared = True
        self._labels: tuple[str, ...] | None = None
        self._started: tuple[str, ...] | None = None
        self._counted: tuple[list[int], dict[tuple[str, Direction], int]] | None = None

    @property
    def whole(self) -> Any:
        """All of it, as what admission says if nobody objects."""
        if self._whole is None:
            from hookframe.core.admitting import Admitted

            self._whole = Admitted(self.attachments, {}, self.requests)
        return self._whole

    @property
    def labels(self) -> tuple[str, ...]:
        """What messages call the points, one for each attachment."""
        if self._labels is None:
            self._labels = tuple([a.name or a.label for a in self.attachments])
        return self._labels

    @property
    def forward_labels(self) -> tuple[str, ...]:
        """Those of the hooks on activations."""
        if self._started is None:
            both = zip(self.labels, self.attachments, strict=True)
            self._started = tuple([label for label, attachment in both if attachment.terms.direction == "fwd"])
        return self._started

    def has_fired(self, sinks: Sequence[CacheSink]) -> bool:
        """True if a look at one of them, or at the cache if they feed only one, says that no hook is silent; False says nothing."""
        attachments = self.attachments
        if not self.exact or len(attachments) < 2:  # of those that a filter chose, one is enough
            return not attachments or attachments[0].has_fired
        return self.caching and len(sinks) == 1 and len(sinks[0].cache) == len(attachments)

    def counts(self) -> dict[tuple[str, Direction], int]:
        """How often the hooks at each point and direction fired, all at one point together."""
        fired = [attachment.fired for attachment in self.attachments]
        if self._counted is None or self._counted[0] != fired:  # nearly always it is what it was the last time
            self._counted = fired, self._counts_of(fired)
        return self._counted[1].copy()

    def _counts_of(self, fired: Sequence[int]) -> dict[tuple[str, Direction], int]:
        every = zip(self.labels, self.attachments, fired, strict=True)
        total = {(label, attachment.terms.direction): times for label, attachment, times in every}
        return total if len(total) == len(fired) else counts(self.attachments)

    @classmethod
    def plan(cls, asked: Sequence[Asked], route: Route, **options: Any) -> Batch:
        """Plan the attachments of an operation; nothing is attached.

        :param options: those of :class:`~hookframe.core.terms.Terms`.
        """
        owner = Owner()
        parts = [
            plan_attachments(selection, function, direction=direction, owner=owner, **options)
            for direction, selection, function in asked
        ]
        return cls(parts, route, owner)

    def keep(self, natures: Iterable[Nature], root: NamedModel, points: KeptPoints) -> None:
        """Prepare for being used again, by operations on ``points`` of ``root`` whose functions are of these natures.

        :param natures: none if the functions stay.
        """
        self._infos[:] = [nature.info for nature in natures]
        self.places = Places(self.attachments)
        self.shared = points.are_shared(root) and any(a.point.other_owners(root) for a in self.attachments)

    def arm(self, asked: Sequence[Asked]) -> None:
        """Put the functions of a new operation in, one for each part that was asked for."""
        for part, one in zip(self._parts, asked, strict=True):
            if part:
                part[0].arm(part, one.function)

    def store_in(self, sink: CacheSink, late: LateGuards | None) -> None:
        """Let caching hooks that no user can have store what a new operation sees."""
        for part in self._parts:
            if part:
                part[0].feed(part, sink, late)

    def begin(self, scope: Scope | None, *, stays: bool) -> None:
        """Begin anew, for an operation whose functions have been put in.

        :param stays: True if the hooks are left at their points when it ends.
        """
        if self.owner is not None:
            self.owner.failed = False
        if stays:
            for attachment in self.attachments:  # some may have been taken off one by one the last time
                attachment.run = attachment.run or 1
        if scope is not None:
            for part in filter(None, self._parts):
                part[0].terms.scope = scope

    def rest(self) -> bool:
        """Let go of the functions and of all that was seen; False if somebody may still hold on to an attachment."""
        if self.owner is None or self.owner.held:
            return False
        for part in self._parts:
            if part:
                part[0].disarm(part)
        return True


def _requests(parts: Sequence[Sequence[Attachment]], infos: Sequence[FunctionInfo], route: Route) -> list[HookRequest]:
    found: dict[int, FunctionInfo] = {}
    made: list[HookRequest] = []
    for place, part in enumerate(parts):
        for terms, alike in groupby(part, _terms):
            together = [*alike]
            made += requests_at(
                [(a.name or a.point.name, a.exact, terms.aliases + a.point.synonyms(a.name)) for a in together],
                start=len(made),
                function=infos[place] if infos else _info(terms.user_hook, found),
                direction=terms.direction,
                route=route,
                effect="read" if terms.read_only else "edit",
                permanent=terms.permanent,
                prepend=terms.prepend,
                level=terms.level,
                caches=together[0].caches,
            )
    return made


def _info(function: HookFunction, found: dict[int, FunctionInfo]) -> FunctionInfo:
    info = found.get(id(function))
    if info is None:
        info = found[id(function)] = nature_of(function).info
    return info
