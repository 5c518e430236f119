"""The requests of one function at many points, made faster than one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from hookframe.admission.place import Place
from hookframe.admission.request import Direction, Effect, FunctionInfo, HookRequest, Route

__all__ = ["requests_at"]


class _Draft:
    """A hook request that is still being written: the same fields in the same places, and not frozen.

    A frozen dataclass fills each field by a call, which would take most of the time before an operation on hundreds of
    points is reviewed.
    """

    __slots__ = HookRequest.__slots__


def requests_at(
    places: Iterable[tuple[str | None, bool, Place]],
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
    aliases: tuple[str, ...],
) -> list[HookRequest]:
    """One request for each of ``places``: a point's name, whether the user asked for it by that name, and where it is.

    :param start: the index of the first.
    :param aliases: names under which the function is called instead.
    """
    made: list[HookRequest] = []
    for index, (point, exact, place) in enumerate(places, start):
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
        draft.names, others = place.seen_as(point)
        draft.aliases = aliases + others
        draft.equal = place.equal
        draft.caches = caches
        draft.layer = place.layer
        draft.families = place.families
        draft.certain = place.certain and draft.names != ()
        draft.lasting = lasting
        draft.__class__ = HookRequest
        made.append(cast("HookRequest", draft))
    return made
