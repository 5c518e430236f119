"""One question to a validator in a process of its own, against the same validator in this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.row import Row
from benchmarks.timing import interleaved
from hookframe import FunctionInfo, HookRequest, PluginManager, hookimpl

__all__ = ["Abstains", "rows"]


class Abstains:
    """A validator without objections; what is left is the cost of asking it."""

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests: Sequence[HookRequest]) -> None:
        """Object to nothing."""


def rows(rounds: int) -> Iterator[Row]:
    """Batches of one and of 200 requests."""
    function = FunctionInfo(module="benchmark", qualname="function")
    for size in (1, 200):
        batch = tuple(HookRequest(index=i, point=f"p.{i}", function=function, route="hooks") for i in range(size))
        inside, outside = PluginManager(Abstains()), PluginManager()
        outside.register_isolated("benchmarks.isolation:Abstains", name="abstains", limit=60.0)
        try:
            cases = {
                "hookframe": lambda b=batch, m=outside: m.review_hooks(b, None),
                "in this process": lambda b=batch, m=inside: m.review_hooks(b, None),
            }
            found = interleaved(cases, rounds)
        finally:
            outside.close()
        yield Row(number="-", what=f"isolated validator, {size} requests", seconds=found)
