"""What goes along with a copy or a pickle of a model, and what stays behind; admission is asked where it arrives."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, hookimpl


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_a = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_a(x)


def own(tensor, hook):
    return tensor + 1


def forward_hook(module, args, output):
    return output * 2


def forward_hook_with_kwargs(module, args, kwargs, output):
    return output * 2


def forward_pre_hook(module, args):
    return (args[0] * 3,)


def backward_hook(module, grad_input, grad_output):
    return (grad_input[0] * 5,)


def backward_pre_hook(module, grad_output):
    return (grad_output[0] * 7,)


TORCH = {
    "forward": lambda p: p.register_forward_hook(forward_hook),
    "forward with kwargs": lambda p: p.register_forward_hook(forward_hook_with_kwargs, with_kwargs=True),
    "forward pre": lambda p: p.register_forward_pre_hook(forward_pre_hook),
    "backward": lambda p: p.register_full_backward_hook(backward_hook),
    "backward pre": lambda p: p.register_full_backward_pre_hook(backward_pre_hook),
}
TRAVEL = {"copy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}


class Deny:
    def __init__(self):
        self.asked = []

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        self.asked += requests
        return [Objection.deny(r, rule="no-hooks", message="hooks are off", remedy="none") for r in requests]


def behaviour(model):
    x = torch.ones(2, requires_grad=True)
    output = model(x * 1)
    output.sum().backward()
    return output.tolist(), x.grad.tolist()


@pytest.mark.parametrize("travel", TRAVEL)
@pytest.mark.parametrize("kind", TORCH)
def test_torchs_own_hooks_travel_and_work(kind, travel):
    model = Model()
    TORCH[kind](model.hook_a)
    model.add_hook("hook_a", own)
    assert behaviour(TRAVEL[travel](model)) == behaviour(model) != behaviour(Model())


@pytest.mark.parametrize("travel", TRAVEL)
@pytest.mark.parametrize("kind", TORCH)
def test_torchs_own_hooks_are_admitted_where_they_arrive(kind, travel):
    model, validator = Model(), Deny()
    TORCH[kind](model.hook_a)
    with hookframe.use_plugins(validator), pytest.raises(HookDenied, match="hooks are off"):
        TRAVEL[travel](model)
    assert [(request.point, request.route) for request in validator.asked] == [("hook_a", "copy")]


@pytest.mark.parametrize("travel", TRAVEL)
def test_hooks_of_contexts_and_caching_hooks_stay_behind(travel):
    model = Model()
    cache = model.add_caching_hooks(incl_bwd=True)
    with model.hooks(fwd_hooks=[("hook_a", own)], bwd_hooks=[("hook_a", own)]):
        other = TRAVEL[travel](model)
        assert other.list_hooks() == {}
        assert other.context_level == 0
        assert not other.is_caching
    other(torch.ones(1))
    assert dict(cache) == {}


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_validator_that_raises_is_the_cause_of_the_refusal():
    class Broken:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            raise ZeroDivisionError("division")

    with hookframe.use_plugins(Broken()), pytest.raises(HookDenied, match="division") as refusal:
        Model().add_hook("hook_a", own)
    assert isinstance(refusal.value.__cause__, ZeroDivisionError)
    assert pickle.loads(pickle.dumps(refusal.value)).decision.denials == refusal.value.decision.denials


def test_a_model_inside_another_keeps_its_own_controller_s_say():
    class Outer(HookedRootModule):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.setup()

        def forward(self, x):
            return self.inner(x)

    outer = Outer(Model())
    outer.inner.admission_controller = hookframe.PluginManager(Deny())
    for enter in (
        lambda: outer.add_hook("inner.hook_a", own),
        lambda: outer.run_with_cache(torch.ones(1)),
        lambda: outer.inner.hook_a.add_hook(own),
        lambda: outer.inner.hook_a.register_forward_hook(forward_hook),
    ):
        with pytest.raises(HookDenied, match="hooks are off"):
            enter()
    assert not outer.inner.hook_a.has_hooks()


def test_enabling_many_points_is_all_or_nothing():
    class Two(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_a, self.hook_b = HookPoint(), HookPoint()
            self.setup()

    class DenyB:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [Objection.deny(r, rule="b", message="not b", remedy="a") for r in requests if r.point == "hook_b"]

    model = Two()
    with hookframe.use_plugins(DenyB()), pytest.raises(HookDenied, match="not b"):
        model._enable_hook(name=lambda name: True, hook=own, dir="fwd")
    assert model.list_hooks() == {}
