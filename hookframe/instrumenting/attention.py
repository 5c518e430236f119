"""Points inside of attention functions, through transformers' own extension point for them.

While a function is attached inside of an attention module, the module's configuration names an attention function that is
registered with ``transformers.AttentionInterface``. It runs the model's own eager function, and looks at the one softmax
in it: what goes in are the scores, what comes out is the pattern. So all numbers are those of the eager function.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from hookframe.errors import HookPointClosed
from hookframe.instrumenting.module_point import ModulePoint
from hookframe.instrumenting.place import Inner

__all__ = ["EAGER_REMEDY", "IMPLEMENTATION", "AttentionPoint", "implementation_of", "open_reason"]

EAGER_REMEDY = "load the model with attn_implementation='eager', or call model.set_attn_implementation('eager')"

_SOFTMAX = frozenset({torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax})
_lock = threading.RLock()
_points: MutableMapping[nn.Module, tuple[AttentionPoint, ...]] = weakref.WeakKeyDictionary()
"""Attention module → its active points. Kept here for the reasons that :mod:`hookframe.instrumenting.site` gives."""


class AttentionPoint(ModulePoint):
    """A point inside of the attention function of one module."""

    @property
    def inside(self) -> Inner | None:
        """Which of the function's tensors it sees."""
        return None if self.at is None else self.at.inside

    def connect(self) -> None:
        """Let the module use the attention function with points.

        :raises HookPointClosed: if it does not compute its attention eagerly.
        """
        module = self.site.module
        reason = "its model is gone" if module is None else open_reason(module)
        if module is None or reason is not None:
            raise HookPointClosed(f"hook point {self.name!r} is closed: {reason}; {EAGER_REMEDY}")
        with _lock:
            config = _config_of(module)
            if config._attn_implementation != IMPLEMENTATION:
                _register()
                config._attn_implementation = IMPLEMENTATION
            self.__dict__["_changed_to"] = None
            _points[module] = (*_points.get(module, ()), self)

    def disconnect(self) -> None:
        """Give the module its own attention function back, unless another point needs this one or the user set another."""
        module = self.site.module
        if module is None:
            return
        with _lock:
            left = tuple(point for point in _points.get(module, ()) if point is not self)
            _points[module] = left
            config = _config_of(module)
            if config._attn_implementation != IMPLEMENTATION:  # the user has set another one meanwhile
                self.__dict__["_changed_to"] = config._attn_implementation
            elif not left and not any(points and _config_of(other) is config for other, points in _points.items()):
                config._attn_implementation = "eager"

    def why_silent(self) -> str | None:
        """As for any point; also says if the user set another attention function while the point was active."""
        module = self.site.module
        fed = module is not None and self in _points.get(module, ())
        used = implementation_of(module) if fed else self.__dict__.get("_changed_to")
        if used in (None, IMPLEMENTATION):
            return super().why_silent()
        return (
            f"the model's attention was set to {used!r} after the hook was attached, and is computed without its points: "
            "call model.set_attn_implementation('eager') before the hook is attached, and leave it so meanwhile"
        )

    def _neighbours(self) -> Iterator[ModulePoint]:
        yield from (p for p in super()._neighbours() if isinstance(p, AttentionPoint) and p.inside == self.inside)


class _Implementation(str):
    """The name of the attention function with points; in a copy or a pickle of a configuration it is the eager one's."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, ("eager",)


IMPLEMENTATION = _Implementation("hookframe-eager")


def open_reason(module: nn.Module) -> str | None:
    """Why there can be no points inside of an attention module; None if there can."""
    used = implementation_of(module)
    if used not in ("eager", IMPLEMENTATION):
        return f"attention is computed by {used!r}, which does not show what it computes on the way"
    if _eager_function(module) is None:
        return f"{type(module).__name__} has no eager attention function that hookframe could call"
    return None


def implementation_of(model: Any) -> str | None:
    """The name of the attention function that a model, or an attention module, uses; None if it does not say."""
    return getattr(getattr(model, "config", None), "_attn_implementation", None)


def _config_of(module: nn.Module) -> Any:
    return module.config


def _eager_function(module: nn.Module) -> Callable[..., Any] | None:
    """The eager attention function that the module's own source file defines."""
    for kind in type(module).__mro__:
        function = getattr(sys.modules.get(kind.__module__), "eager_attention_forward", None)
        if function is not None:
            return function  # type: ignore[no-any-return]  # a module's attribute
    return None


def _register() -> None:
    """Tell transformers of the attention function with points, and that its masks are those of the eager one."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(str(IMPLEMENTATION), attention_with_points)
    AttentionMaskInterface.register(str(IMPLEMENTATION), eager_mask)


def attention_with_points(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, *args: Any, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The eager attention of ``module``, with its points.

    :param query: ``[batch, head, pos, d_head]``; ``key`` likewise, with the model's own number of key heads.
    :returns: the mixed values ``[batch, pos, head, d_head]`` and the pattern ``[batch, head, query, key]``.
    """
    eager = _eager_function(module)
    if eager is None:  # only if a module was given the configuration of another module
        raise HookPointClosed(f"{type(module).__name__} has no eager attention function; {EAGER_REMEDY}")
    points = _points.get(module, ())
    if not points:
        return eager(module, query, key, *args, **kwargs)  # type: ignore[no-any-return]  # transformers' own
    query, key = _pass(points, "query", query), _pass(points, "key", key)
    with _SoftmaxSeen(points):
        return eager(module, query, key, *args, **kwargs)  # type: ignore[no-any-return]  # transformers' own


def _pass(points: tuple[AttentionPoint, ...], inside: Inner, tensor: torch.Tensor) -> torch.Tensor:
    for point in points:
        if point.inside == inside:
            tensor = point.through(tensor)
    return tensor


class _SoftmaxSeen(TorchFunctionMode):
    """Shows what goes into a softmax, and what comes out, to the points."""

    def __init__(self, points: tuple[AttentionPoint, ...]) -> None:
        super().__init__()
        self.points = points

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _SOFTMAX:
            return func(*args, **(kwargs or {}))
        scores = _pass(self.points, "scores", args[0])
        return _pass(self.points, "pattern", func(scores, *args[1:], **(kwargs or {})))
