"""Rulings that were made before, kept for as long as nothing that they depend on has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import TypeAlias

from hookframe.admission.request import HookRequest
from hookframe.policy.in_force.decide import Match

__all__ = ["Depends", "Rulings", "World"]

Depends: TypeAlias = tuple[object, ...]
"""Everything outside of a request that its ruling depends on."""

_WORLDS = 8
_MOST = 20_000


World: TypeAlias = dict[tuple[object, ...], dict[tuple[object, ...], tuple[Match, ...]]]
"""What is known while nothing outside of requests changes: what many requests share → what is one's own → the rules."""

_COMMON = attrgetter(
    "function", "direction", "route", "effect", "exact", "permanent", "prepend", "level", "caches", "families", "certain",
    "lasting",
)  # fmt: skip
_ALONE = attrgetter("point", "names", "equal", "aliases", "layer")


class Rulings:
    """Remembers which rules match which hook request.

    A request is what it says of itself but for its place in the batch, so that the same hook at the same point is known
    again in another operation. Bounded: the world used longest ago goes first, and one that has grown too large begins anew.
    """

    def __init__(self) -> None:
        self._worlds: OrderedDict[Depends, World] = OrderedDict()

    def world(self, depends: Depends) -> World:
        """What is known while everything else is as ``depends`` says."""
        known = self._worlds.pop(depends, None)
        if known is None or sum(map(len, known.values())) >= _MOST:
            known = {}
        self._worlds[depends] = known
        while len(self._worlds) > _WORLDS:
            self._worlds.popitem(last=False)
        return known

    @staticmethod
    def matches(
        known: World, requests: Iterable[HookRequest], decided: Callable[[HookRequest], tuple[Match, ...]]
    ) -> Iterator[tuple[HookRequest, tuple[Match, ...]]]:
        """The requests that rules match, each with these: as they are known, else as ``decided`` finds them."""
        last: tuple[object, ...] | None = None
        ruled: dict[tuple[object, ...], tuple[Match, ...]] = {}
        for request in requests:
            common = _COMMON(request)
            if (
                common != last
            ):  # rarely true: the requests of a batch are much alike, and comparing is faster than hashing
                last, ruled = common, known.setdefault(common, {})
            alone = _ALONE(request)
            found = ruled.get(alone)
            if found is None:
                found = ruled[alone] = decided(request)
            if found:
                yield request, found
