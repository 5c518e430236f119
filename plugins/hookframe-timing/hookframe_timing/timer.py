"""A timer around one hook function."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from torch.compiler import is_dynamo_compiling

from hookframe_timing.tally import Tally

__all__ = ["Timer"]


class Timer:
    """Calls the function, and adds how long it took to a tally; a call that raises counts as well.

    What is measured is the time on the host: kernels that the function launches on another device are not waited for.
    While a model is compiled, the function is traced as if there were no timer, and what is compiled is not timed.
    """

    __slots__ = ("_add", "function")

    def __init__(self, function: Callable[..., Any], tally: Tally) -> None:
        self.function = function
        self._add = tally.add

    def __call__(self, tensor: Any, *, hook: Any) -> Any:
        """Run the function; the result is its own."""
        if is_dynamo_compiling():
            return self.function(tensor, hook=hook)
        started = perf_counter_ns()
        try:
            return self.function(tensor, hook=hook)
        finally:
            self._add(perf_counter_ns() - started)
