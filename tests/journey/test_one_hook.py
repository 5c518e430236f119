"""One hook on its way through all floors: from the model, through admission and plugins, to the run and out again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hookframe
from hookframe import HookedRootModule, HookPoint, Objection, hookimpl


class Net(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.hook_hidden = HookPoint()
        self.second = nn.Linear(4, 2)
        self.hook_out = HookPoint()
        self.way = []
        self.setup()

    def check_hooks_to_add(self, hook_point, hook_point_name, hook, **options):
        self.way.append("the model's own check")

    def forward(self, x):
        self.way.append("forward")
        return self.hook_out(self.second(self.hook_hidden(torch.relu(self.first(x)))))


def test_one_hook_from_the_users_line_to_the_report():
    model = Net()
    way = model.way

    class Plugin:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests, model):
            way.append(f"validator: {requests[0].route} {requests[0].point}")
            assert not model.hook_hidden.fwd_hooks
            return [Objection.audit(requests[0], rule="seen", message="seen", remedy="none")]

        @hookimpl
        def hookframe_decision_made(self, decision):
            way.append(f"decision: {'allowed' if decision.allowed else 'refused'}")

        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            way.append("wrap")

            def timed(tensor, hook, inner=hook):
                way.append("wrapped call")
                return inner(tensor, hook=hook)

            return timed

        @hookimpl
        def hookframe_hooks_added(self, event):
            way.append(f"added: {len(event.requests)}")
            assert model.hook_hidden.fwd_hooks

        @hookimpl
        def hookframe_hooks_removed(self, event):
            way.append("removed")
            assert not model.hook_hidden.fwd_hooks

        @hookimpl
        def hookframe_run_finished(self, event):
            way.append(f"finished: {dict(event.counts)}")

    def zero(tensor, hook):
        way.append(f"hook at {hook.name}")
        return torch.zeros_like(tensor)

    with hookframe.use_plugins(Plugin()):
        out = model.run_with_hooks(torch.ones(1, 4), fwd_hooks=[("hook_hidden", zero)])
    assert torch.equal(out[0], model.second.bias)
    assert way == [
        "the model's own check",
        "validator: run_with_hooks hook_hidden",
        "decision: allowed",
        "wrap",
        "added: 1",
        "forward",
        "wrapped call",
        "hook at hook_hidden",
        "removed",
        "finished: {('hook_hidden', 'fwd'): 1}",
    ]


def test_a_refused_hook_never_reaches_the_model():
    model = Net()

    class Guard:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [
                Objection.deny(r, rule="no-edits", message="edits are off", remedy="mark it read_only")
                for r in requests
                if r.effect == "edit"
            ]

    @hookframe.read_only
    def look(tensor, hook):
        assert tensor.shape == (1, 4)

    with hookframe.use_plugins(Guard()):
        with pytest.raises(hookframe.HookDenied, match="edits are off"):
            model.run_with_hooks(torch.ones(1, 4), fwd_hooks=[("hook_hidden", lambda tensor, hook: tensor * 0)])
        assert "forward" not in model.way
        model.run_with_hooks(torch.ones(1, 4), fwd_hooks=[("hook_hidden", look)])
        _, cache = model.run_with_cache(torch.ones(1, 4))
    assert model.way.count("forward") == 2
    assert list(cache) == ["hook_hidden", "hook_out"]
