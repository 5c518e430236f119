"""What an operation asks for, from the arguments of the verbs; and what makes two operations alike."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hookframe.admission.request import Direction
from hookframe.core.cache.sink import CacheSink
from hookframe.core.hooks.caching import CachingFunction
from hookframe.core.model.named_model import NamedModel
from hookframe.core.registration.planning import Asked, FunctionKind, kind_of_function
from hookframe.core.values.text import describe
from hookframe.errors import InvalidHookFunction

if TYPE_CHECKING:
    from hookframe.core.hooks.caching import DeferredGuards
    from hookframe.core.model.names import Selection
    from hookframe.core.values.types import HookFunction, HookSpecification, NamesFilter

__all__ = ["ask", "asked_to_cache", "kind_of", "review_keywords", "sinks_of", "specifications_of"]


def sinks_of(asked: Iterable[Asked]) -> list[CacheSink]:
    """The sinks that the caching functions in ``asked`` feed, each once."""
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
    """Caching hooks that no user can hold: for activations, and for gradients if there are ``late`` guards for these."""
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


def kind_of(asked: Sequence[Asked], *facts: Hashable) -> tuple[Hashable, Sequence[FunctionKind]]:
    """What makes two operations alike, and the kind of each function.

    Two functions with the same source are alike, even if one was made again; a selection is like itself only.
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


_VERBS = ("run_with_cache", "run_with_hooks", "hooks", "capture")


_TRANSFORMERLENS = frozenset({
    "loss_per_token", "padding_side", "past_kv_cache", "prepend_bos", "return_cache_object", "return_type", "shortformer_pos_embed",
    "start_at_layer", "stop_at_layer",
})  # fmt: skip
"""What TransformerLens's verbs and models take and hookframe has no meaning for."""


_NEAR = 0.82  # 'score' and 'slope', which a model may take, are not 'scope'


def review_keywords(root: NamedModel, verb: str, keywords: Collection[str]) -> None:
    """Check that no keyword that ``verb`` is about to pass on to the model is, or resembles, an option of a verb.

    Options of TransformerLens's verbs that hookframe does not have count as well. A keyword that the ``forward`` of the model,
    or of one of its bases, names is the model's.

    :raises TypeError: if one is; the model was not run.
    """
    module = getattr(root, "forward_module", root)
    body: Any = type(module)
    unknown = [keyword for keyword in keywords if keyword not in _taken_by_forward(body)]
    if not unknown:
        return
    kind: Any = type(root)
    replaced = module.__dict__.get("forward")  # tools that wrap it leave the signature to be found
    for keyword in unknown:
        meant = _meant(keyword, verb, kind)
        if meant is not None and (replaced is None or keyword not in _named_in(replaced)):
            raise TypeError(
                f"{verb} has no option {keyword!r}, and {body.__name__}.forward no parameter of that name, though it may "
                f"take any: {meant}; if it is meant for the model, call the model itself inside 'with model.hooks(...)'"
            )


@lru_cache(maxsize=256)
def _meant(keyword: str, verb: str, kind: Any) -> str | None:
    """What a keyword that the model has no parameter for was meant to be; None if it resembles no option."""
    options = _options_of(kind)
    elsewhere = [other for other in _VERBS if keyword in options[other]]
    if elsewhere:
        return f"it is an option of {' and '.join(elsewhere)}"
    if keyword in _TRANSFORMERLENS:
        return "it is an option of TransformerLens that hookframe does not have"
    near = difflib.get_close_matches(keyword, sorted(options[verb]), n=1, cutoff=_NEAR)
    return f"did you mean {near[0]!r}" if near else None


@lru_cache(maxsize=64)
def _options_of(kind: Any) -> dict[str, frozenset[str]]:
    """Verb → the options that it has in ``kind`` or a class below it."""
    bodies = {verb: [vars(base)[verb] for base in kind.__mro__ if verb in vars(base)] for verb in _VERBS}
    return {verb: frozenset[str]().union(*map(_named_in, found)) - {"self"} for verb, found in bodies.items()}


@lru_cache(maxsize=64)
def _taken_by_forward(kind: Any) -> frozenset[str]:
    forwards = [vars(base)["forward"] for base in kind.__mro__ if "forward" in vars(base)]
    return frozenset[str]().union(
        *map(_named_in, forwards)
    )  # one may pass on to that of a base what it takes as **kwargs


def _named_in(function: Callable[..., Any]) -> frozenset[str]:
    """The parameters that can be given by name; none if the signature cannot be read."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    return frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
