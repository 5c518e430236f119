"""Hook points as somebody would write them for one model, and as fast as they get: the floor of what an operation costs.

What is done is the same: values are stored detached, one that the model changed in place afterwards is noticed at the
end, and the points are idle again whatever happens. What is left out is all that a platform adds: names that stand for
others, what several operations or threads do at once, hooks that were there before, admission, and who is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.stack import NAMES, Block, PlainStack, Weights

__all__ = ["LatePointByHand", "StackByHand"]


class PointByHand(nn.Module):
    """The identity. Its call is its own, as torch's costs half a microsecond."""

    name: str
    cache: dict[str, torch.Tensor] | None
    versions: dict[str, int]  # but 0, which nearly all have
    function: Callable[..., Any] | None

    def __init__(self) -> None:
        super().__init__()
        self.__dict__.update(cache=None, function=None)  # as below: torch's own way to set them costs a microsecond

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        cache = self.cache
        if cache is None:
            return x if self.function is None else self.replaced(x)
        cache[self.name] = value = x.detach() if x.requires_grad else x
        version = value._version
        if version:
            self.versions[self.name] = version
        return x

    def replaced(self, x: torch.Tensor) -> torch.Tensor:
        """What the function makes of ``x``."""
        assert self.function is not None
        result = self.function(x, self)
        return x if result is None else result


class LatePointByHand(nn.Module):
    """The identity, until it gets a function: the least that compiled code has to look at if it is to heed one that comes later.

    An ``nn.Identity`` is less: torch ignores what is hooked to it once the code is there. The call is its own, as for
    every point by hand: dynamo looks whether the module has another one, and torch's costs half a microsecond when nothing is
    compiled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["function"] = None

    def __call__(self, x: torch.Tensor) -> Any:
        function = self.function
        return x if function is None else function(x)


class StackByHand(PlainStack):
    """The stack with such points, which lie in their block's ``__dict__``: torch's look-up of a child costs as much as a call.

    :ivar own: name of a point → its ``__dict__``.
    """

    def __init__(self, weights: list[Weights]) -> None:
        super().__init__(Block(w, PointByHand) for w in weights)
        self.own: dict[str, dict[str, Any]] = {}
        for index, block in enumerate(self.blocks):
            for place in NAMES:
                point, name = block._modules.pop(place), f"blocks.{index}.{place}"
                block.__dict__[place], self.own[name] = point, point.__dict__
                point.__dict__["name"] = name

    def run_with_cache(
        self, x: torch.Tensor, names_filter: Sequence[str] | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The output, and the activations at the points of these names, or at all."""
        cache: dict[str, torch.Tensor] = {}
        versions: dict[str, int] = {}
        chosen = [*self.own.values()] if names_filter is None else [self.own[name] for name in names_filter]
        try:
            for own in chosen:
                own["cache"] = cache
                own["versions"] = versions
            output = self(x)
        finally:
            for own in chosen:
                own["cache"] = own["versions"] = None
        changed = [name for name, value in cache.items() if value._version]
        if any(cache[name]._version != versions.get(name, 0) for name in changed):
            raise RuntimeError("a value was changed in place after it was stored")
        return output, cache

    def run_with_hooks(self, x: torch.Tensor, fwd_hooks: Sequence[tuple[str, Callable[..., Any]]]) -> torch.Tensor:
        """The output, with a function at each of these points."""
        chosen = [(self.own[name], function) for name, function in fwd_hooks]
        try:
            for own, function in chosen:
                own["function"] = function
            return self(x)  # type: ignore[no-any-return]  # torch
        finally:
            for own, _ in chosen:
                own["function"] = None
