"""What a hook function may do: only read, if it is marked :func:`read_only`, and return what fits the activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, overload

import torch
import torch.fx
from torch.compiler import is_dynamo_compiling

from hookframe.admission.request import FunctionInfo
from hookframe.core.values.types import HookFunction
from hookframe.core.values.warn import warn_user
from hookframe.errors import HookEffectError, HookReturnError, HooksExportedWarning

__all__ = [
    "ReadOnly",
    "ReturnGuard",
    "ReturnRules",
    "check_gradient",
    "check_return",
    "guarded",
    "is_read_only",
    "read_only",
    "rules_of",
]

F = TypeVar("F", bound=HookFunction)
_READ_ONLY_MARK = "_hookframe_read_only"
_RETURNS_MARK = "_hookframe_returns"


def read_only(function: F) -> F:
    """Mark ``function`` as one that only reads: hookframe stops it if it returns a value or edits in place.

    Use as a decorator, or at the call: ``model.add_hook(name, read_only(function))``. The mark stays on the function;
    marking a bound method marks it for all objects of its class.

    :raises TypeError: if the object takes no attributes (wrap it in a function first).
    """
    return _mark(_READ_ONLY_MARK, True, function)


def is_read_only(function: HookFunction) -> bool:
    """True if the function, the one inside a partial, or an object's ``__call__`` is marked :func:`read_only`."""
    while isinstance(function, partial):
        if getattr(function, _READ_ONLY_MARK, False):
            return True
        function = function.func
    return bool(getattr(function, _READ_ONLY_MARK, False) or getattr(type(function).__call__, _READ_ONLY_MARK, False))


class ReadOnly:
    """Runs one function, and raises if it did more than read.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRules:
    """What has to hold of a tensor that a forward hook returns.

    :ivar tensor: it is a tensor, where the activation is one.
    :ivar shape: it has the activation's shape.
    :ivar dtype: it has the activation's dtype.
    :ivar device: it is on the activation's device.
    :ivar finite: it holds no NaN and no infinity.
    :ivar norm_ratio: its Euclidean norm is at most that of the activation before times this, and at least that divided by this.
    """

    tensor: bool = True
    shape: bool = True
    dtype: bool = True
    device: bool = True
    finite: bool = False
    norm_ratio: float | None = None

    @property
    def costly(self) -> bool:
        """True if a check has to read the tensor's values."""
        return self.finite or self.norm_ratio is not None


_DEFAULT = ReturnRules()


@overload
def guarded(function: F, **rules: Any) -> F: ...


@overload
def guarded(function: None = None, **rules: Any) -> Callable[[F], F]: ...


def guarded(function: F | None = None, **rules: Any) -> F | Callable[[F], F]:
    """Choose what hookframe checks when ``function`` edits a tensor; the rules are those of :class:`ReturnRules`.

    Without it, what a forward hook returns in place of a tensor has to be a tensor of its shape and dtype, on its device.
    That also holds for what a backward hook returns, whatever its rules: autograd takes no other gradient. Use as a
    decorator, ``@guarded(finite=True, norm_ratio=10)``, or at the call: ``guarded(function, shape=False)``. ``finite`` and
    ``norm_ratio`` also check in-place changes, and wait for the device. The mark stays on the function; marking a bound
    method marks it for all objects of its class.

    :raises ValueError: if ``norm_ratio`` is below 1.
    :raises TypeError: for any other rule, or if the object takes no attributes (wrap it in a function first).
    """
    wanted = ReturnRules(**rules)
    if wanted.norm_ratio is not None and not wanted.norm_ratio >= 1:
        raise ValueError(f"norm_ratio={wanted.norm_ratio!r} would refuse a hook that changes nothing: use 1 or more")
    if function is None:
        return partial(_mark, _RETURNS_MARK, wanted)
    return _mark(_RETURNS_MARK, wanted, function)


def _mark(mark: str, value: object, function: F) -> F:
    target: Any = getattr(function, "__func__", function)
    try:
        setattr(target, mark, value)
    except AttributeError:
        raise TypeError(f"{function!r} cannot be marked: wrap it in a function and mark that") from None
    return function


def rules_of(function: HookFunction) -> ReturnRules:
    """The rules that the function, or the one inside a partial, is marked with; else the default."""
    while isinstance(function, partial) and not hasattr(function, _RETURNS_MARK):
        function = function.func
    found: ReturnRules = getattr(function, _RETURNS_MARK, _DEFAULT)
    return found


class ReturnGuard:
    """Runs one forward hook function, and raises if what it returned cannot take the activation's place.

    :raises HookReturnError: from the forward pass; what the function returned was not used.
    """

    __slots__ = ("function", "named", "rules")

    def __init__(
        self, function: HookFunction, rules: ReturnRules = _DEFAULT, named: HookFunction | None = None
    ) -> None:
        self.function = function
        self.rules = rules
        self.named = function if named is None else named  # the user's own, if a plugin wrapped it

    def __call__(self, tensor: Any, *, hook: Any) -> Any:
        """Run the function on ``tensor``, and check what it did."""
        rules = self.rules
        looks = rules.costly and isinstance(tensor, torch.Tensor) and not is_dynamo_compiling()
        before = float(_norm(tensor)) if looks and rules.norm_ratio is not None else 0.0
        result = self.function(tensor, hook=hook)
        if result is not None and hook.hook_conversion is None:  # else it is checked with what it is reverted to
            check_return(rules, tensor, result, self.named, hook)
        changed = tensor if result is None else result
        if looks and isinstance(changed, torch.Tensor):
            self._look(changed, before, hook)
        return result

    def _look(self, value: torch.Tensor, before: float, hook: Any) -> None:
        where = f"the hook {FunctionInfo.of(self.named)} at {hook.name!r}"
        if self.rules.finite and not bool(torch.isfinite(value).all()):
            raise HookReturnError(f"{where} made {int((~torch.isfinite(value)).sum())} values that are NaN or infinite")
        ratio = self.rules.norm_ratio
        after = 0.0 if ratio is None else float(_norm(value))
        if ratio is not None and not before / ratio <= after <= before * ratio:
            raise HookReturnError(
                f"{where} took the norm from {before:.4g} to {after:.4g}, and norm_ratio={ratio:g} allows "
                f"{before / ratio:.4g} to {before * ratio:.4g}"
            )


def check_return(rules: ReturnRules, tensor: Any, result: Any, function: HookFunction, hook: Any) -> None:
    """Check that ``result``, which ``function`` returned, can take the place of ``tensor``; reads no values.

    :raises HookReturnError: if it cannot.
    """
    if not isinstance(tensor, torch.Tensor):
        if isinstance(tensor, torch.fx.Proxy):
            _warn_of_tracing(function, hook)
        return
    if not isinstance(result, torch.Tensor):
        if rules.tensor:
            what = f"{type(result).__module__}.{type(result).__qualname__}"
            raise _refusal(f"returned a {what}", tensor, function, hook, "tensor")
        return
    if rules.shape and result.shape != tensor.shape:
        raise _refusal(f"returned a tensor of shape {list(result.shape)}", tensor, function, hook, "shape")
    if rules.dtype and result.dtype != tensor.dtype:
        raise _refusal(f"returned a tensor of dtype {result.dtype}", tensor, function, hook, "dtype")
    if rules.device and result.device != tensor.device:
        raise _refusal(f"returned a tensor of device {result.device}", tensor, function, hook, "device")


def check_gradient(gradient: torch.Tensor, result: Any, function: HookFunction, label: str) -> None:
    """Check that ``result``, which a backward hook returned, can take the place of ``gradient``.

    Autograd itself would silently cast another dtype, and sum up a larger tensor.

    :raises HookReturnError: if it cannot.
    """
    if not isinstance(result, torch.Tensor):
        what = f"a {type(result).__module__}.{type(result).__qualname__}"
    elif result.shape != gradient.shape:
        what = f"a gradient of shape {list(result.shape)}"
    elif result.dtype != gradient.dtype:
        what = f"a gradient of dtype {result.dtype}"
    elif result.device != gradient.device:
        what = f"a gradient of device {result.device}"
    else:
        return
    raise HookReturnError(
        f"the bwd hook {FunctionInfo.of(function)} returned {what} at {label!r}, in place of {list(gradient.shape)} "
        f"{gradient.dtype} on {gradient.device}: return None, or a tensor like the one it was given, or a tuple of just that"
    )


def _warn_of_tracing(function: HookFunction, hook: Any) -> None:
    warn_user(
        f"the model is traced by torch.fx while the hook {FunctionInfo.of(function)} is attached at {hook.name!r}: what it "
        "does to tensors becomes a part of the program, for good; remove it first if that is not meant",
        HooksExportedWarning,
    )


def _refusal(what: str, tensor: torch.Tensor, function: HookFunction, hook: Any, kind: str) -> HookReturnError:
    return HookReturnError(
        f"the hook {FunctionInfo.of(function)} {what} at {hook.name!r}, in place of {list(tensor.shape)} "
        f"{tensor.dtype} on {tensor.device}: return None, or a tensor like the one it was given; "
        f"if it is meant, attach guarded(function, {kind}=False)"
    )


def _norm(tensor: torch.Tensor) -> torch.Tensor:
    norm: torch.Tensor = torch.linalg.vector_norm(tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32)))
    return norm
