"""Keywords for the model that were meant for hookframe: a model that takes ``**kwargs`` would swallow them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from hookframe.core.model.named_model import NamedModel

__all__ = ["review_keywords"]

_VERBS = ("run_with_cache", "run_with_hooks", "hooks", "capture")
_NEAR = 0.82  # 'score' and 'slope', which a model may take, are not 'scope'


def review_keywords(root: NamedModel, verb: str, keywords: Collection[str]) -> None:
    """See that none of ``keywords``, which ``verb`` is about to pass on to the model, is an option of a verb or nearly one.

    A parameter that the model's ``forward`` has by that very name is the model's.

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
    near = difflib.get_close_matches(keyword, sorted(options[verb]), n=1, cutoff=_NEAR)
    return f"did you mean {near[0]!r}" if near else None


@lru_cache(maxsize=64)
def _options_of(kind: Any) -> dict[str, frozenset[str]]:
    """Verb → the options that it has in ``kind`` or a class below it."""
    bodies = {verb: [vars(base)[verb] for base in kind.__mro__ if verb in vars(base)] for verb in _VERBS}
    return {verb: frozenset[str]().union(*map(_named_in, found)) - {"self"} for verb, found in bodies.items()}


@lru_cache(maxsize=64)
def _taken_by_forward(kind: Any) -> frozenset[str]:
    return _named_in(kind.forward)


def _named_in(function: Callable[..., Any]) -> frozenset[str]:
    """The parameters that can be given by name; none if nobody can tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    return frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
