"""What a hook function may do: functions marked ``read_only`` are held to it."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import torch
from torch.compiler import is_dynamo_compiling

from hookframe.admission.request import FunctionInfo
from hookframe.core.types import HookFunction
from hookframe.errors import HookEffectError

__all__ = ["ReadOnly", "is_read_only", "read_only"]

F = TypeVar("F", bound=HookFunction)

_MARK = "_hookframe_read_only"


def read_only(function: F) -> F:
    """Mark ``function`` as one that only reads: hookframe then stops it if it returns a value or edits in place.

    Use as a decorator, or at the call: ``model.add_hook(name, read_only(function))``. The mark stays on the function; a
    bound method's is that of all objects of its class.

    :raises TypeError: if the object takes no attributes (wrap it in a function first).
    """
    target: Any = getattr(function, "__func__", function)
    try:
        setattr(target, _MARK, True)
    except AttributeError:
        raise TypeError(f"{function!r} cannot be marked: wrap it in a function and mark that") from None
    return function


def is_read_only(function: HookFunction) -> bool:
    """True if the function, the one inside a partial, or an object's ``__call__`` is marked :func:`read_only`."""
    while isinstance(function, partial):
        if getattr(function, _MARK, False):
            return True
        function = function.func
    return bool(getattr(function, _MARK, False) or getattr(type(function).__call__, _MARK, False))


class ReadOnly:
    """Runs one function and raises if it did more than read.

    In-place changes are found through the tensor's version counter. Tensors made under ``torch.inference_mode()`` have
    none, so there the function gets a copy that does. In compiled code only the returned value is checked.

    :raises HookEffectError: from the forward or backward pass in which the function did it. An in-place change has
        happened by then; what the function returned was not used.
    """

    __slots__ = ("function", "named")

    def __init__(self, function: HookFunction, named: HookFunction | None = None) -> None:
        self.function = function
        self.named = function if named is None else named  # the user's own, if a plugin wrapped it

    def __call__(self, tensor: Any, *, hook: Any) -> None:
        """Run the function on ``tensor``, and check what it did."""
        if not isinstance(tensor, torch.Tensor) or is_dynamo_compiling():  # compiled tensors have no version to compare
            self._refuse_result(self.function(tensor, hook=hook), hook)
            return
        seen = _versioned_copy(tensor) if tensor.is_inference() else tensor
        before = seen._version
        result = self.function(seen, hook=hook)
        if seen._version != before:
            raise HookEffectError(
                f"the read-only hook {FunctionInfo.of(self.named)} changed its tensor in place at {hook.name!r}: "
                "let it work on tensor.clone(), or attach it without the read_only mark"
            )
        self._refuse_result(result, hook)

    def _refuse_result(self, result: object, hook: Any) -> None:
        if result is not None:
            raise HookEffectError(
                f"the read-only hook {FunctionInfo.of(self.named)} returned a {type(result).__name__} at "
                f"{hook.name!r}: let it return None, or attach it without the read_only mark"
            )


def _versioned_copy(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(False):
        return tensor.clone()
