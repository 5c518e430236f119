"""What torch's compiler does where it meets functions of ours; without loading it."""

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
except ImportError:  # another torch: it compiles what it comes across, eight times at most

    def get_eval_frame_callback() -> None:  # type: ignore[misc]  # as torch's
        """Nothing: what is compiled is not left out."""

    def _leave_out(code: CodeType, *, deep: bool) -> None:
        pass

else:

    def _leave_out(code: CodeType, *, deep: bool) -> None:
        below = _FrameAction.SKIP if deep else _FrameAction.DEFAULT
        set_code_exec_strategy(code, _FrameExecStrategy(_FrameAction.SKIP, below))


def begun_in_what_it_calls(function: F) -> F:
    """Let it begin with what ``function`` calls, not with ``function``, where that is the outermost that it comes across.

    It keeps what it made with the code that it began with, and no more than eight of them: classes of models must not share
    that code, as they do that of a method they inherit. Where it traces a caller, it traces ``function`` as well.
    """
    _leave_out(function.__code__, deep=False)
    return function


def never_compiled(function: F) -> F:
    """Let it have nothing to do with ``function``, nor with what that calls; where it traces a caller, it traces it."""
    _leave_out(function.__code__, deep=True)
    return function


def run_while_traced(function: F) -> F:
    """Let it call ``function`` at once, while it traces, and put nothing of it into the program.

    It is what ``torch.compiler.assume_constant_result`` does, which loads the compiler.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def traced_as(other: Callable[..., Any]) -> Callable[[F], F]:
    """Let it trace ``other`` in place of the decorated function, which then need not ask, each time, whether it is traced.

    torch marks the functions that it wraps in the same way.
    """

    def mark(function: F) -> F:
        function._torchdynamo_inline = other  # type: ignore[attr-defined]
        return begun_in_what_it_calls(function)  # where it cannot trace on, what is called is this, not the other

    return mark


compiles_around: Callable[[], object] = get_eval_frame_callback
"""Something true where what runs is to be compiled, or looked up as compiled, from the next call on."""


class _Tracing:
    """Whether it has come across a hook point: from then on, what points run is written where it looks."""

    __slots__ = ("begun",)

    def __init__(self) -> None:
        self.begun = False


tracing = _Tracing()


def is_compiled_elsewhere(model: nn.Module) -> bool:
    """True if an object that ``torch.compile(model)`` made is alive: its code may pass by hooks that came later.

    Nothing on the model says so: all objects are looked through, unless nothing in this process has loaded the compiler.
    """
    compiler = _compiler()
    kind = None if compiler is None else compiler.OptimizedModule
    return kind is not None and any(issubclass(type(o), kind) and o._orig_mod is model for o in gc.get_objects())


def _compiler() -> Any:
    return sys.modules.get("torch._dynamo.eval_frame")


_TORCHS = (nn.Module.__call__, nn.Module._call_impl)
tracing_state: Callable[[], object] = torch._C._get_tracing_state
"""Something true while ``torch.jit`` traces; torch's own modules ask it in each call."""


@run_while_traced
def calls_torch(base: Any, kind: Any) -> bool:
    """True if ``super(base, kind).__call__`` is torch's own, which nothing has overridden or exchanged."""
    return (super(base, kind).__call__, kind._call_impl) == _TORCHS
