"""The planned hooks of one operation, which the next operation of the same kind can use again.

Planning costs more than firing. A plan depends on the route, the points, and where the functions come from; the functions
themselves are put in when an operation begins, and taken out when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from hookframe.admission.drafts import requests_at
from hookframe.admission.request import Direction, FunctionInfo, HookRequest, LazyRequests, Route
from hookframe.core.fast_path.batch_pool import Bulk
from hookframe.core.hooks.attachment import Attachment, Operation, Options
from hookframe.core.registration.planning import FunctionKind, kind_of_function, plan_attachments

if TYPE_CHECKING:
    from hookframe.core.cache.sink import CacheSink
    from hookframe.core.hooks.caching import DeferredGuards
    from hookframe.core.registration.planning import Asked
    from hookframe.core.values.protocols import Model
    from hookframe.core.values.scope import Scope
    from hookframe.core.values.types import HookFunction

__all__ = ["Admitted", "Batch", "counts"]

_options_of: Callable[[Attachment], Options] = attrgetter("options")


@dataclass(frozen=True, slots=True)
class Admitted:
    """What passed admission, and what was left out.

    :ivar attachments: ready to attach: their functions are wrapped as admission asked.
    :ivar skipped: point name → why it was left out.
    :ivar requests: one for each of the attachments.
    """

    attachments: list[Attachment]
    skipped: dict[str, str]
    requests: LazyRequests


class Batch:
    """Planned attachments, in the order in which they were asked for.

    :ivar requests: what admission reviews; the same object as long as the batch lives.
    :ivar whole: what admission returns if it objects to nothing.
    :ivar operation: what the attachments know of their operation; None if they belong to none.
    :ivar bulk: for a batch that can be used again, the attachments as the fast path puts them; else None.
    :ivar wrapped_by_options: True if an option wraps one of the functions, such as in a check that it only reads.
    :ivar shared: True if one of the points may belong to other models as well, which are then asked too.
    :ivar exact: True if one of the points was asked for by its name.
    :ivar caching: True if all of them are caching hooks.
    :ivar lasting: True if the hooks stay at their points when the operation ends.
    :ivar backward: True if one of them is a backward hook.
    """

    __slots__ = (
        "_counted", "_forward_names", "_infos", "_names", "_parts", "attachments", "backward", "bulk", "caching", "exact",
        "lasting", "operation", "requests", "shared", "whole", "wrapped_by_options",
    )  # fmt: skip

    def __init__(
        self,
        parts: Sequence[Sequence[Attachment]],
        route: Route,
        operation: Operation | None = None,
        *,
        lasting: bool = True,
    ) -> None:
        self._parts: Sequence[Sequence[Any]] = parts
        self._infos: list[FunctionInfo] = []
        self.operation = operation
        self.lasting = lasting
        self.attachments = [attachment for part in parts for attachment in part]
        self.requests = LazyRequests(partial(_requests, parts, self._infos, route, lasting), len(self.attachments))
        self.exact = True in {attachment.exact for attachment in self.attachments}
        self.wrapped_by_options = True in {
            options.wrapped_by_options for options in {*map(_options_of, self.attachments)}
        }
        kinds: set[type[Attachment]] = {*map(type, self.attachments)}
        self.caching = False not in {kind.caches for kind in kinds}
        self.backward = "bwd" in {part[0].options.direction for part in parts if part}
        self.whole = Admitted(self.attachments, {}, self.requests)
        self.bulk: Bulk | None = None
        self.shared = True
        self._names: tuple[str, ...] | None = None
        self._forward_names: tuple[str, ...] | None = None
        self._counted: tuple[list[int], dict[tuple[str, Direction], int]] | None = None

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The name of its point in messages, for each attachment."""
        if self._names is None:
            self._names = tuple([a.name or a.shown_name for a in self.attachments])
        return self._names

    @property
    def forward_names(self) -> tuple[str, ...]:
        """The same for the hooks on activations only."""
        if self._forward_names is None:
            both = zip(self.shown_names, self.attachments, strict=True)
            self._forward_names = tuple([label for label, attachment in both if attachment.options.direction == "fwd"])
        return self._forward_names

    def has_fired(self, sinks: Sequence[CacheSink]) -> bool:
        """True if a quick check shows that no hook is silent; False decides nothing."""
        attachments = self.attachments
        if not self.exact or len(attachments) < 2:  # where a filter chose the points, one that fired is enough
            return not attachments or attachments[0].fired > 0
        return self.caching and len(sinks) == 1 and len(sinks[0].cache) == len(attachments)

    def counts(self) -> dict[tuple[str, Direction], int]:
        """How often the hooks at each point and direction fired, added up."""
        fired = [attachment.fired for attachment in self.attachments]
        if self._counted is None or self._counted[0] != fired:  # usually the same as the last time
            self._counted = fired, self._counts_of(fired)
        return self._counted[1].copy()

    def _counts_of(self, fired: Sequence[int]) -> dict[tuple[str, Direction], int]:
        every = zip(self.shown_names, self.attachments, fired, strict=True)
        total = {(label, attachment.options.direction): times for label, attachment, times in every}
        return total if len(total) == len(fired) else counts(self.attachments)

    @classmethod
    def plan(cls, asked: Sequence[Asked], route: Route, *, lasting: bool = False, **options: Any) -> Batch:
        """Plan the attachments of an operation; nothing is attached.

        :param lasting: True if the hooks stay when it ends.
        :param options: those of :class:`~hookframe.core.hooks.attachment.Options`.
        """
        operation = Operation()
        parts = [
            plan_attachments(selection, function, direction=direction, operation=operation, **options)
            for direction, selection, function in asked
        ]
        return cls(parts, route, operation, lasting=lasting)

    def keep(self, kinds: Iterable[FunctionKind], root: Model, *, shared: bool) -> None:
        """Prepare for use by later operations on ``root`` with functions of these kinds.

        :param kinds: empty if the functions stay.
        :param shared: True if points of ``root`` belong to other models as well.
        """
        self._infos[:] = [kind.info for kind in kinds]
        self.bulk = Bulk(self.attachments)
        self.shared = shared and any(a.point.other_owners(root) for a in self.attachments)

    def arm(self, asked: Sequence[Asked]) -> None:
        """Put in the functions of a new operation, one for each part that was asked for."""
        for part, one in zip(self._parts, asked, strict=True):
            if part:
                part[0].arm(part, one.function)

    def store_in(self, sink: CacheSink, late: DeferredGuards | None) -> None:
        """Let caching hooks that no user can hold store in the ``sink`` of a new operation."""
        for part in self._parts:
            if part:
                part[0].feed(part, sink, late)

    def begin(self, scope: Scope | None) -> None:
        """Begin an operation whose functions have been put in."""
        if self.operation is not None:
            self.operation.failed = False
        if scope is not None:
            for part in filter(None, self._parts):
                part[0].options.scope = scope

    def rest(self) -> bool:
        """Drop the functions and all that was stored; False if a user may still hold a handle."""
        if self.operation is None or self.operation.held:
            return False
        for part in self._parts:
            if part:
                part[0].disarm(part)
        return True


def _requests(
    parts: Sequence[Sequence[Attachment]], infos: Sequence[FunctionInfo], route: Route, lasting: bool
) -> list[HookRequest]:
    found: dict[int, FunctionInfo] = {}
    made: list[HookRequest] = []
    for place, part in enumerate(parts):
        for options, alike in groupby(part, _options_of):
            together = [*alike]
            made += requests_at(
                [(a.name or a.point.name, a.exact, a.point.place) for a in together],
                start=len(made),
                function=infos[place] if infos else _info(options.user_hook, found),
                direction=options.direction,
                route=route,
                effect="read" if options.read_only else "edit",
                permanent=options.permanent,
                prepend=options.prepend,
                level=options.level,
                caches=together[0].caches,
                lasting=lasting or options.permanent,
                aliases=options.aliases or (),
            )
    return made


def _info(function: HookFunction, found: dict[int, FunctionInfo]) -> FunctionInfo:
    info = found.get(id(function))
    if info is None:
        info = found[id(function)] = kind_of_function(function).info
    return info


def counts(attachments: Sequence[Attachment]) -> dict[tuple[str, Direction], int]:
    """How often the hooks at each point and direction fired, added up."""
    total: dict[tuple[str, Direction], int] = {}
    for attachment in attachments:
        key = (attachment.shown_name, attachment.direction)
        total[key] = total.get(key, 0) + attachment.fired
    return total
