"""Rulings that were made before, kept for as long as nothing that they depend on has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from hookframe.admission.request import HookRequest
from hookframe.policy.decide import Match

__all__ = ["Depends", "Rulings"]

Depends: TypeAlias = tuple[object, ...]
"""Everything outside of a request that its ruling depends on."""

_WORLDS = 8
_MOST = 20_000


class Rulings:
    """Remembers which rules match which hook request.

    A request is what it says of itself but for its place in the batch, so that the same hook at the same point is known
    again in another operation. Bounded: the world used longest ago goes first, and one that has grown too large begins anew.
    """

    def __init__(self) -> None:
        self._worlds: OrderedDict[Depends, dict[tuple[object, ...], tuple[Match, ...]]] = OrderedDict()

    def world(self, depends: Depends) -> dict[tuple[object, ...], tuple[Match, ...]]:
        """What is known while everything else is as ``depends`` says."""
        known = self._worlds.pop(depends, None)
        if known is None or len(known) >= _MOST:
            known = {}
        self._worlds[depends] = known
        while len(self._worlds) > _WORLDS:
            self._worlds.popitem(last=False)
        return known

    @staticmethod
    def matches(
        known: dict[tuple[object, ...], tuple[Match, ...]],
        request: HookRequest,
        decided: Callable[[HookRequest], tuple[Match, ...]],
    ) -> tuple[Match, ...]:
        """The rules that match ``request``: as they are known, else as ``decided`` finds them."""
        key = (
            request.point,
            request.function,
            request.direction,
            request.route,
            request.effect,
            request.exact,
            request.permanent,
            request.prepend,
            request.level,
            request.aliases,
            request.caches,
        )
        found = known.get(key)
        if found is None:
            found = known[key] = decided(request)
        return found
