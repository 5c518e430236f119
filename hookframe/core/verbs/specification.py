"""What an operation asks for, from the arguments of the verbs; and what makes two operations alike."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

from hookframe.admission.request import Direction, Route
from hookframe.core.cache.sink import CacheSink
from hookframe.core.hooks.caching import CachingFunction
from hookframe.core.registration.planning import Asked, FunctionKind, kind_of_function
from hookframe.core.values.text import describe
from hookframe.errors import InvalidHookFunction

if TYPE_CHECKING:
    from hookframe.core.cache.sink import CacheSink
    from hookframe.core.hooks.caching import DeferredGuards
    from hookframe.core.model.named_model import NamedModel
    from hookframe.core.model.names import Selection
    from hookframe.core.values.types import HookFunction, HookSpecification, NamesFilter

__all__ = ["ask", "asked_to_cache", "caching_kind", "kind_of", "sinks_of", "specifications_of"]


def sinks_of(asked: Iterable[Asked]) -> list[CacheSink]:
    """The sinks that the caching functions among what is asked for feed, each once."""
    sinks: dict[int, CacheSink] = {}
    for _, _, function in asked:
        if isinstance(function, CachingFunction):
            sinks[id(function.sink)] = function.sink
    return [*sinks.values()]


def ask(root: NamedModel, specifications: Iterable[tuple[Direction, Iterable[HookSpecification]]]) -> list[Asked]:
    """What is asked for by pairs of names and a function."""
    directions: list[Direction] = []
    filters: list[NamesFilter] = []
    functions: list[HookFunction] = []
    for direction, pairs in specifications:
        for names, function in pairs:
            directions.append(direction)
            filters.append(names)
            functions.append(function)
    return [*map(Asked, directions, root.selections(filters), functions)]


def asked_to_cache(selection: Selection, sink: CacheSink, late: DeferredGuards | None) -> list[Asked]:
    """Caching hooks that no user can have: for activations, and for gradients if there are ``late`` guards for these."""
    asked = [Asked("fwd", selection, CachingFunction(sink, private=True))]
    if late is not None:
        asked.append(Asked("bwd", selection, CachingFunction(sink, "_grad", private=True, late=late)))
    return asked


def specifications_of(
    fwd_hooks: Iterable[HookSpecification], bwd_hooks: Iterable[HookSpecification]
) -> tuple[tuple[Direction, list[HookSpecification]], ...]:
    """The hooks that a user gave, by direction.

    :raises InvalidHookFunction: if one is no pair of names and a function.
    """
    return ("fwd", _listed(fwd_hooks, "fwd_hooks")), ("bwd", _listed(bwd_hooks, "bwd_hooks"))


def _listed(hooks: Iterable[HookSpecification], what: str) -> list[HookSpecification]:
    listed = list(hooks)
    for item in listed:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise InvalidHookFunction(
                f"{what} holds {describe(item)}: each item is a pair of a name (or a predicate on names) and a function"
            )
    return listed


def caching_kind(
    route: Route, level: int, selection: Selection, *, scoped: bool = False, gradients: bool = False
) -> Hashable:
    """What makes two operations alike that cache what ``selection`` means, and do nothing else."""
    return route, level, scoped, selection, gradients


def kind_of(asked: Sequence[Asked], *facts: Hashable) -> tuple[Hashable, Sequence[FunctionKind]]:
    """What makes two operations alike, and what each of the functions is.

    Two functions with the same source, of which one may have been made anew, are alike; a selection is like itself alone.
    """
    if len(asked) == 1:
        direction, selection, function = asked[0]
        kind = kind_of_function(function)
        return (facts, direction, selection, kind), (kind,)
    found: dict[int, FunctionKind] = {}
    for _, _, function in asked:
        if id(function) not in found:
            found[id(function)] = kind_of_function(function)
    kinds = [found[id(function)] for _, _, function in asked]
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(found.values()))}
    number = {key: numbers[kind] for key, kind in found.items()}
    parts = tuple([(direction, selection, number[id(function)]) for direction, selection, function in asked])
    return (facts, parts, tuple(numbers)), kinds
