"""Backward hooks: they listen to the gradient of an alias of the activation, made while the model runs forward.

torch's module backward hooks forbid in-place operations after the point. A hook on the activation itself would also see
the gradients of its other users, and one on a view would lose the gradient as soon as the view is changed in place. So
the alias is the output of an autograd function of its own: it shares the memory and the version counter of what went in,
and is a tensor in its own right to autograd. Its gradient is the gradient with respect to the point's output.

If a model changes one of the two in place and uses both, it may rely on their being one object, and its gradient may be
wrong: :mod:`hookframe.core.hooks.gradient_guard` refuses it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.compiler import is_dynamo_compiling

from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.gradient_guard import GradientGuard
from hookframe.core.hooks.guards import check_gradient

if TYPE_CHECKING:
    from hookframe.core.hooks.attachment import Graphs
    from hookframe.core.values.protocols import Point
    from hookframe.core.values.types import HookFunction

__all__ = ["Alias", "GradientAttachment", "ScaledGradient", "gradient_tap", "in_functorch"]


class ScaledGradient(torch.Tensor):
    """A gradient whose ``.sum()``, where that is a single number, is multiplied by ``scale``.

    Everything else is the gradient's own; results of other operations are plain tensors. It shares memory with the
    gradient it was made from.
    """

    scale: float
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # results are plain tensors

    @staticmethod
    def of(gradient: torch.Tensor, scale: float) -> ScaledGradient:
        """View ``gradient`` with ``scale``."""
        wrapped = gradient.as_subclass(ScaledGradient)
        wrapped.scale = scale
        return wrapped

    def sum(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As ``torch.Tensor.sum``; a result without dimensions is scaled."""
        total = super().sum(*args, **kwargs)
        return total * self.scale if total.dim() == 0 else total


_runs = itertools.count(2)


def begin_run(attachments: Sequence[Attachment]) -> None:
    """Give backward hooks a new generation, for the operation that begins."""
    run = next(_runs)
    for attachment in attachments:
        attachment.generation = run


class GradientAttachment(Attachment):
    """A backward hook: called with the gradient with respect to the point's output."""

    __slots__ = ()

    @staticmethod
    def arm(attachments: Sequence[Any], function: HookFunction) -> None:
        """Let them call ``function``; graphs of finished operations no longer call them."""
        Attachment.arm(attachments, function)
        begin_run(attachments)

    def fire(self, point: Point, gradient: Any) -> Any:
        """Run the function on ``gradient``, of the shape of the point's output; return the gradient that goes on.

        :raises HookReturnError: if the function returned something that cannot take the gradient's place.
        """
        self.fired += 1
        scale, conversion = point.backward_scale, point.hook_conversion
        try:
            seen = gradient if conversion is None else conversion.convert(gradient)
            if scale != 1.0 and not self.caches:
                seen = ScaledGradient.of(seen, scale)
            result = self.called(seen, hook=self.view or point)
            if isinstance(result, tuple) and len(result) == 1:
                result = result[0]
            if result is None:
                return gradient
            if isinstance(result, ScaledGradient):
                result = result.as_subclass(torch.Tensor)
            if conversion is not None and isinstance(result, torch.Tensor):
                result = conversion.revert(result)
            check_gradient(gradient, result, self.options.user_hook, self.shown_name)
            return result
        except BaseException as error:
            self.note(error)
            raise


class _GradientTap:
    """The last step at a point with backward hooks: passes an alias on, and listens to its gradient."""

    __slots__ = ()

    def fire(self, point: Point, tensor: Any) -> Any:
        """Return an alias of ``tensor`` that feeds the point's backward hooks; the tensor itself if it needs none."""
        if not isinstance(tensor, torch.Tensor) or not tensor.requires_grad or not torch.is_grad_enabled():
            return tensor
        listening = [
            (a, a.generation, (operation := a.options.operation) and operation.graphs)
            for a in point.backward_attachments
            if (scope := a.options.scope) is None or scope.active
        ]
        if not listening:
            return tensor
        listener = _Listener(point, listening, GradientGuard(tensor, point.name))
        if is_dynamo_compiling() or in_functorch():
            return Alias.apply(tensor, listener)  # type: ignore[no-untyped-call]  # torch
        return _apply(tensor, listener)


class _Listener:
    """Passes one gradient through the backward hooks that were attached when the model ran forward.

    The hooks of a context are called after its end as well. A hook that was removed since, or that another operation uses
    now, is left out.
    """

    __slots__ = ("guard", "listening", "point")

    def __init__(
        self, point: Point, listening: list[tuple[Attachment, int, Graphs | None]], guard: GradientGuard
    ) -> None:
        self.point = point
        self.listening = listening
        self.guard = guard

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        state, point = gradient, self.point
        # listed first, so that a hook that is removed meanwhile still runs this once
        for attachment, graphs in [(a, graphs) for a, run, graphs in self.listening if a.generation == run]:
            late = None if graphs is None else graphs.late
            state = attachment.fire(point, state) if late is None else late.fire(attachment, point, state)
        self.guard.passes(state)
        return state


class Alias(torch.autograd.Function):
    """The identity; its backward is the listener."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, listener: _Listener) -> torch.Tensor:
        """Share the memory and the version counter of ``tensor``."""
        ctx.listener = listener
        return tensor.detach()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Pass the gradient through the listener."""
        return ctx.listener(gradient), None


# torch's own apply looks for functorch's wrappers first, which costs as much as the rest; torch.compile needs the whole
in_functorch: Any = torch._C._are_functorch_transforms_active
_apply: Any = super(torch.autograd.Function, Alias).apply
gradient_tap = _GradientTap()
