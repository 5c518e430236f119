"""What a point runs that caches an activation and its gradient, and nothing else: both in one step.

Where the operation itself calls ``backward()``, it can look between the forward and the backward pass which activations
were changed in place; the others, nearly always all, then need no :class:`~hookframe.core.hooks.gradient_guard.GradientGuard`,
which costs more than the rest of the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hookframe.core.hooks.gradient import Alias, gradient_tap, in_functorch
from hookframe.core.hooks.gradient_guard import GradientGuard, Seen
from hookframe.core.torch_compat.dynamo import traced_as

if TYPE_CHECKING:
    from hookframe.core.hooks.caching import CachingAttachment, GradientCachingAttachment
    from hookframe.core.values.protocols import Point

__all__ = ["BothWays"]


class BothWays:
    """The only step at a point with one caching hook on the activation and one on the gradient.

    :ivar attachment: the first.
    :ivar gradient: the second.
    """

    __slots__ = ("attachment", "gradient")

    def __init__(self, attachment: CachingAttachment, gradient: GradientCachingAttachment) -> None:
        self.attachment = attachment
        self.gradient = gradient

    def _apart(self, point: Point, tensor: Any) -> Any:
        return gradient_tap.fire(point, self.attachment.fire(point, tensor))

    @traced_as(_apart)
    def fire(self, point: Point, tensor: Any) -> Any:
        """Store ``tensor``; return an alias of it whose gradient is stored, or the tensor itself if nothing needs one."""
        attachment, gradient = self.attachment, self.gradient
        late, cache = gradient.function.late, attachment.function.at_once
        if late is None or late.over or cache is None or not attachment.direct or in_functorch():
            return self._apart(point, tensor)
        try:
            if point is not attachment.point or not tensor.requires_grad or not torch.is_grad_enabled():
                return self._apart(point, tensor)
            value = tensor.detach()
            version = value._version
        except (AttributeError, RuntimeError):  # not a tensor; or one of inference mode
            return self._apart(point, tensor)
        attachment.fired += 1
        attachment.version = version
        cache[attachment.key] = attachment.last = value
        listener = _Listener(gradient, value, version, tensor)
        late.listeners.append(listener)
        return _apply(tensor, listener)


class _Listener:
    """Stores one gradient, and knows what a guard would have to know, until the operation says that none is needed.

    :ivar value: shares memory and version counter with the tensor that went in; None once the operation is over.
    :ivar seen: what the tensor was.
    """

    __slots__ = ("attachment", "generation", "guard", "seen", "value")

    def __init__(
        self, attachment: GradientCachingAttachment, value: torch.Tensor, version: int, tensor: torch.Tensor
    ) -> None:
        self.attachment = attachment
        self.generation = attachment.generation
        self.value: torch.Tensor | None = value
        self.guard: GradientGuard | None = None
        view = tensor._is_view()
        self.seen = Seen.of(tensor) if view else Seen(version, tensor.grad_fn, tensor.output_nr, None)

    def look(self) -> None:
        """Guard the gradients of the tensor that went in if it was changed in place since."""
        value = self.value
        if value is not None and value._version != self.seen.version and self.guard is None:
            self.guard = GradientGuard(value, self.attachment.point.name, self.seen)

    def forget(self) -> None:
        """Let go of the tensors."""
        self.value = None
        self.seen = _FORGOTTEN

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        self.look()
        attachment = self.attachment
        if attachment.generation == self.generation:
            attachment.fire(attachment.point, gradient)
        if self.guard is not None:
            self.guard.passes(gradient)
        return gradient


class _Alias(Alias):
    """An alias, of a class of its own."""


# as for the alias in gradients.py; and the engine calls what we give, without torch's look at which method there is
_apply: Any = super(torch.autograd.Function, _Alias).apply
_Alias._backward_cls.apply = _Alias.backward  # type: ignore[attr-defined]  # torch makes it
_FORGOTTEN = Seen(0, None, 0, None)
