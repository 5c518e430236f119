"""How torch.compile treats hookframe's functions, arranged without importing the compiler."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, TypeVar

import torch
from torch import nn

__all__ = [
    "begun_in_what_it_calls",
    "calls_torch",
    "compiles_around",
    "is_compiled_elsewhere",
    "never_compiled",
    "run_while_traced",
    "traced_as",
    "tracing",
    "tracing_state",
]

F = TypeVar("F", bound=Callable[..., Any])

try:
    from torch._C._dynamo.eval_frame import (
        _FrameAction,
        _FrameExecStrategy,
        get_eval_frame_callback,
        set_code_exec_strategy,
    )
except ImportError:  # another torch: it compiles every function it meets, at most eight times

    def get_eval_frame_callback() -> None:  # type: ignore[misc]  # as torch's
        """None: this torch does not say whether it compiles."""

    def _leave_out(code: CodeType, *, deep: bool) -> None:
        pass

else:

    def _leave_out(code: CodeType, *, deep: bool) -> None:
        below = _FrameAction.SKIP if deep else _FrameAction.DEFAULT
        set_code_exec_strategy(code, _FrameExecStrategy(_FrameAction.SKIP, below))


def begun_in_what_it_calls(function: F) -> F:
    """Let torch.compile start at the functions that ``function`` calls, even if ``function`` is the outermost frame.

    torch.compile keeps at most eight compiled versions with the code object it started at, and the classes of models that
    inherit a method would share these eight. If torch.compile traces a caller, it traces ``function`` as well.
    """
    _leave_out(function.__code__, deep=False)
    return function


def never_compiled(function: F) -> F:
    """Keep torch.compile away from ``function`` and all that it calls; if torch.compile traces a caller, it traces them."""
    _leave_out(function.__code__, deep=True)
    return function


def run_while_traced(function: F) -> F:
    """Let torch.compile call ``function`` at once, while it traces, and put nothing of it into the compiled program.

    ``torch.compiler.assume_constant_result`` does the same, but imports the compiler.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def traced_as(other: Callable[..., Any]) -> Callable[[F], F]:
    """Let torch.compile trace ``other`` instead of the decorated function, which then need not check if it is traced.

    torch marks the functions that it wraps in the same way.
    """

    def mark(function: F) -> F:
        function._torchdynamo_inline = other  # type: ignore[attr-defined]
        return begun_in_what_it_calls(function)  # where torch.compile gives up tracing, it calls this function

    return mark


compiles_around: Callable[[], object] = get_eval_frame_callback
"""Returns something true if torch.compile is to compile the next call, or to look up compiled code for it."""


class _Tracing:
    """Whether torch.compile has met a hook point: from then on, what points run is also written where it looks."""

    __slots__ = ("begun",)

    def __init__(self) -> None:
        self.begun = False


tracing = _Tracing()


def is_compiled_elsewhere(model: nn.Module) -> bool:
    """True if an object that ``torch.compile(model)`` made is alive: its code may miss hooks attached later.

    The model does not record this, so all objects are searched, unless this process never imported the compiler.
    """
    compiler = _compiler()
    kind = None if compiler is None else compiler.OptimizedModule
    return kind is not None and any(issubclass(type(o), kind) and o._orig_mod is model for o in gc.get_objects())


def _compiler() -> Any:
    return sys.modules.get("torch._dynamo.eval_frame")


_TORCHS = (nn.Module.__call__, nn.Module._call_impl)
tracing_state: Callable[[], object] = torch._C._get_tracing_state
"""Returns something true while ``torch.jit`` traces; torch's own modules ask it in each call."""


@run_while_traced
def calls_torch(base: Any, kind: Any) -> bool:
    """True if ``super(base, kind).__call__`` is torch's own, neither overridden nor replaced."""
    return (super(base, kind).__call__, kind._call_impl) == _TORCHS
