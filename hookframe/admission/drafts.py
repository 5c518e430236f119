"""The requests of one function at many points, made faster than one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from hookframe.admission.point_names import layer_of
from hookframe.admission.request import Direction, Effect, FunctionInfo, HookRequest, Route

__all__ = ["requests_at"]


class _Draft:
    """A hook request that is still being written: the same fields in the same places, and not frozen.

    A frozen dataclass fills its fields one call at a time, which takes most of what an operation on hundreds of points
    needs before it is decided about.
    """

    __slots__ = HookRequest.__slots__


def requests_at(
    places: Iterable[tuple[str | None, bool, tuple[str, ...], tuple[str, ...]]],
    *,
    start: int,
    function: FunctionInfo,
    direction: Direction,
    route: Route,
    effect: Effect,
    permanent: bool,
    prepend: bool,
    level: int | None,
    caches: bool,
    lasting: bool,
) -> list[HookRequest]:
    """One request for each of ``places``: a point's name, whether it was asked for by that, aliases, and its other names.

    :param start: the index of the first.
    """
    made: list[HookRequest] = []
    for index, (point, exact, aliases, others) in enumerate(places, start):
        draft: Any = _Draft()
        draft.index = index
        draft.point = point
        draft.function = function
        draft.direction = direction
        draft.route = route
        draft.effect = effect
        draft.exact = exact
        draft.permanent = permanent
        draft.prepend = prepend
        draft.level = level
        draft.aliases = aliases
        draft.caches = caches
        draft.names = (point, *others) if point else others
        draft.layer = layer_of(draft.names)
        draft.families = ()
        draft.certain = True
        draft.lasting = lasting
        draft.__class__ = HookRequest
        made.append(cast("HookRequest", draft))
    return made
