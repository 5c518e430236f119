"""What torch's compiler does where it meets functions of ours; without loading it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["run_while_traced", "traced_as", "tracing"]

F = TypeVar("F", bound=Callable[..., Any])


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
        return function

    return mark


class _Tracing:
    """Whether it has come across a hook point: from then on, what points run is written where it looks."""

    __slots__ = ("begun",)

    def __init__(self) -> None:
        self.begun = False


tracing = _Tracing()
