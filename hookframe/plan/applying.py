"""A plan at work: all of its hooks attached in one admission, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

import torch

from hookframe.capture.captured import Captured
from hookframe.capture.forward_listener import Beginning, ForwardListener
from hookframe.capture.naming import names_of
from hookframe.core.values.types import HookSpecification
from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.errors import HookframeError
from hookframe.plan.functions import function_for
from hookframe.plan.operations import CaptureHook, Operation

__all__ = ["AppliedPlan"]


class AppliedPlan:
    """What ``model.apply_plan(plan)`` returns: a context manager that yields what the plan's ``capture`` hooks keep.

    :ivar cache: that cache; a fresh one each time that the context is entered.
    """

    def __init__(
        self, hooks: Sequence[Operation], parameters: Mapping[str, torch.Tensor], root: HookedRootModule
    ) -> None:
        self.hooks = hooks
        self.parameters = parameters
        self.root = root
        self.cache = Captured()
        self._stack: ExitStack | None = None

    def __enter__(self) -> Captured:
        if self._stack is not None:
            raise HookframeError("this plan is applied already: call apply_plan(...) again to apply it twice")
        self.cache = Captured().came_from(self.root)
        hooks = self._hooks(self.cache)
        with ExitStack() as stack:
            stack.enter_context(self.root.hooks(fwd_hooks=hooks))
            listener = ForwardListener(self._begin, self.cache.cut)
            self.cache.look = listener.look
            stack.callback(self._ended)
            stack.callback(listener.stop)
            listener.start(self.root.forward_module)
            self._stack = stack.pop_all()
        return self.cache

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(kind, error, trace)

    def _hooks(self, cache: Captured) -> list[HookSpecification]:
        hooks: list[HookSpecification] = []
        for planned in self.hooks:
            points = planned.points if isinstance(planned.points, str) else list(planned.points)
            selected = self.root.select_points(points)
            if isinstance(planned, CaptureHook):
                cache.pos_dims.update({s.name: s.point.pos_dim for s in selected if s.point.pos_dim is not None})
                hooks += self.root.get_caching_hooks(names_of(selected), cache=cache, clone="auto")[1]
            else:
                function = function_for(planned, self.parameters)
                hooks += [(name, function) for name in names_of(selected)]
        return hooks

    def _ended(self) -> None:
        self.cache.look = None

    def _begin(self, beginning: Beginning) -> None:
        self.cache.begin(beginning.step(len(self.cache.steps)))
