"""What a hook point runs when it is called: steps, each of which passes one tensor through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.caching import CachingAttachment, GradientCachingAttachment
from hookframe.core.hooks.caching_both_ways import BothWays
from hookframe.core.hooks.gradient import gradient_tap

if TYPE_CHECKING:
    from hookframe.core.hooks.attachment import Attachment
    from hookframe.core.values.protocols import Point

__all__ = ["MODULE_CALL", "ScopedStep", "Several", "attachments_in", "plan_for", "steps_in"]


class ScopedStep:
    """What a point runs for a hook with a scope."""

    __slots__ = ("attachment",)

    def __init__(self, attachment: Attachment) -> None:
        self.attachment = attachment

    def fire(self, point: Point, tensor: Any) -> Any:
        """Run the hook if the caller is inside the scope; else pass the tensor on."""
        scope = self.attachment.options.scope
        return self.attachment.fire(point, tensor) if scope is not None and scope.active else tensor


class Several:
    """Steps in a row. Where there is one alone, it is what the point runs: nearly always, so nothing is to be in between."""

    __slots__ = ("steps",)

    def __init__(self, steps: tuple[Any, ...]) -> None:
        self.steps = steps

    def fire(self, point: Point, tensor: Any) -> Any:
        """Run them."""
        for step in self.steps:
            tensor = step.fire(point, tensor)
        return tensor


def plan_for(fwd: tuple[Attachment, ...], bwd: tuple[Attachment, ...], *, module: bool = False) -> Any:
    """What a point runs: something with ``fire``; None if that is nothing.

    :param module: torch has something to run there as well.
    """
    steps = _steps_for(fwd, bwd)
    if module:
        steps = (MODULE_CALL, *steps)
    return Several(steps) if len(steps) > 1 else steps[0] if steps else None


def steps_in(plan: Any) -> tuple[Any, ...]:
    """The steps of what a point runs."""
    return plan.steps if isinstance(plan, Several) else () if plan is None else (plan,)


def _steps_for(fwd: tuple[Attachment, ...], bwd: tuple[Attachment, ...]) -> tuple[Any, ...]:
    if len(fwd) == 1 == len(bwd) and fwd[0].options.scope is None is bwd[0].options.scope:
        activation, gradient = fwd[0], bwd[0]
        if isinstance(activation, CachingAttachment) and isinstance(gradient, GradientCachingAttachment):
            return (BothWays(activation, gradient),)
    steps = tuple([a if a.options.scope is None else ScopedStep(a) for a in fwd])
    return (*steps, gradient_tap) if bwd else steps


class _ModuleCall:
    """The first step at a point on which torch has something to run."""

    __slots__ = ()

    def fire(self, point: Point, tensor: Any) -> Any:
        """Run it."""
        return point.call_module(tensor)


MODULE_CALL = _ModuleCall()


def attachments_in(plan: Any, bwd: tuple[Attachment, ...] = ()) -> list[Attachment]:
    """The hooks behind ``plan``, among whose steps is one for ``bwd`` if that is not empty."""
    return [*(step.attachment for step in steps_in(plan) if step is not gradient_tap), *bwd]
