"""What a hook point runs when it is called: steps, each of which passes one tensor through, in a cell that holds them.

Only :func:`store` and the loops of ``fast_path.batch_pool`` write to a cell. Attaching and detaching hold :data:`lock` while
they do; every call of a point reads the cell without it. Once torch.compile has traced a point, each write also goes to
the point's ``__dict__["_traced"]``, since a guard on a dict's entry is the cheapest that torch.compile has.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.caching import BothWays, CachingAttachment, GradientCachingAttachment
from hookframe.core.hooks.gradient import gradient_tap
from hookframe.core.torch_compat.dynamo import run_while_traced, tracing

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Point

__all__ = [
    "MODULE_CALL",
    "Cell",
    "ScopedStep",
    "Several",
    "attachments_in",
    "begin_tracing",
    "expect_tracing",
    "lock",
    "plan_for",
    "steps_in",
    "store",
]

lock = threading.RLock()
"""Held while hooks come on or off points, and while a count of open contexts changes; running models read both without."""
_untraced: WeakSet[Any] = WeakSet()  # every point, as long as torch.compile has traced none


class Cell:
    """Holds what one point runs: something with ``fire``, or None.

    It is not an attribute of the point, because setting an attribute of a torch module costs a hundred nanoseconds or more.
    """

    __slots__ = ("plan",)

    def __init__(self) -> None:
        self.plan: Any = None


def store(point: Point, plan: Any) -> None:
    """Let ``point`` run ``plan``."""
    point._cell.plan = plan
    if tracing.begun:
        point.__dict__["_traced"] = plan


def expect_tracing(point: Point) -> None:
    """Register a new point, for :func:`begin_tracing`."""
    with lock:
        if not tracing.begun:
            _untraced.add(point)


@run_while_traced
def begin_tracing() -> None:
    """Write what each point runs where torch.compile looks; :func:`store` does so from then on.

    This covers all points, since code compiled for one module also serves others of its class, which are never traced.
    """
    with lock:
        if not tracing.begun:
            tracing.begun = True
            for point in _untraced:
                point.__dict__["_traced"] = point._plan
            _untraced.clear()


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
    """Two or more steps in a row. A single step, which is the usual case, is run by the point directly."""

    __slots__ = ("steps",)

    def __init__(self, steps: tuple[Any, ...]) -> None:
        self.steps = steps

    def fire(self, point: Point, tensor: Any) -> Any:
        """Pass the tensor through each step."""
        for step in self.steps:
            tensor = step.fire(point, tensor)
        return tensor


def plan_for(fwd: tuple[Attachment, ...], bwd: tuple[Attachment, ...], *, module: bool = False) -> Any:
    """What a point runs: something with ``fire``; None if it has nothing to run.

    :param module: True if torch has something to run there as well.
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
        """Run torch's own hooks, and a subclass's ``forward``."""
        return point.call_module(tensor)


MODULE_CALL = _ModuleCall()


def attachments_in(plan: Any, bwd: tuple[Attachment, ...] = ()) -> list[Attachment]:
    """The hooks that ``plan`` runs; the backward hooks, which share one step of it, are ``bwd``."""
    return [*(step.attachment for step in steps_in(plan) if step is not gradient_tap), *bwd]
