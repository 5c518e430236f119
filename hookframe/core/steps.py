"""What a hook point runs when it is called: steps, each of which passes one tensor through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookframe.core.caching_hooks import CachingAttachment, GradientCachingAttachment
from hookframe.core.gradients import TAP
from hookframe.core.handles import Attachment
from hookframe.core.scope import ScopedStep
from hookframe.core.two_way_caching import BothWays

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint

__all__ = ["MODULE_CALL", "attachments_in", "steps_for"]


def steps_for(fwd: tuple[Attachment, ...], bwd: tuple[Attachment, ...]) -> tuple[Any, ...]:
    """The steps for forward hooks, and for backward hooks."""
    if len(fwd) == 1 == len(bwd) and fwd[0].terms.scope is None is bwd[0].terms.scope:
        activation, gradient = fwd[0], bwd[0]
        if isinstance(activation, CachingAttachment) and isinstance(gradient, GradientCachingAttachment):
            return (BothWays(activation, gradient),)
    steps = tuple([a if a.terms.scope is None else ScopedStep(a) for a in fwd])
    return (*steps, TAP) if bwd else steps


class _ModuleCall:
    """The first step at a point on which torch has something to run."""

    __slots__ = ()

    def fire(self, point: HookPoint, tensor: Any) -> Any:
        """Run it."""
        return point.call_module(tensor)


MODULE_CALL = _ModuleCall()


def attachments_in(plan: tuple[Any, ...], bwd: tuple[Attachment, ...] = ()) -> list[Attachment]:
    """The hooks behind ``plan``, among whose steps is one for ``bwd`` if that is not empty."""
    return [*(step.attachment for step in plan if step is not TAP), *bwd]
