"""What a hook point runs when it is called: steps, each of which passes one tensor through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookframe.core.gradients import TAP
from hookframe.core.handles import Attachment
from hookframe.core.scope import ScopedStep

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint

__all__ = ["MODULE_CALL", "attachments_in", "steps_for"]


def steps_for(fwd: tuple[Attachment, ...], gradients: bool) -> tuple[Any, ...]:
    """The steps for forward hooks, and for backward hooks if there are any."""
    steps = tuple([a if a.scope is None else ScopedStep(a) for a in fwd])
    return (*steps, TAP) if gradients else steps


class _ModuleCall:
    """The first step at a point on which torch has something to run."""

    __slots__ = ()

    def fire(self, point: HookPoint, tensor: Any) -> Any:
        """Run it."""
        return point.call_module(tensor)


MODULE_CALL = _ModuleCall()


def attachments_in(plan: tuple[Any, ...], bwd: tuple[Attachment, ...] = ()) -> list[Attachment]:
    """The hooks behind ``plan``, which ends with a step for ``bwd`` if that is not empty."""
    steps = plan[:-1] if bwd else plan
    return [*(step.attachment for step in steps), *bwd]
