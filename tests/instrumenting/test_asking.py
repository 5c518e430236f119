"""What people ask of an instrumented model that is easily asked wrongly."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import hookframe
from hookframe import CannotInstrument, Family, GradientError, HookPlan, UnknownHookPoint, instrument


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))

    def forward(self, x, with_loss=True):
        for layer in self.layers:
            x = layer(x)
        return SimpleNamespace(logits=x, loss=x.sum() if with_loss else None)


@pytest.fixture
def hooked():
    torch.manual_seed(0)
    return instrument(Net())


X = torch.ones(1, 3)


def test_a_plan_is_applied_and_a_function_goes_to_the_modules(hooked):
    plan = HookPlan([{"operation": "zero", "points": "layers.1.hook_out"}])
    with hooked.apply(plan):
        assert hooked(X).logits.abs().sum() == 0
    assert hooked(X).logits.abs().sum() > 0
    seen = []
    assert hooked.apply(seen.append) is hooked
    assert seen[-1] is hooked.wrapped


def test_gradients_begin_at_the_loss_of_an_output(hooked):
    _, cache = hooked.run_with_cache(X, incl_bwd=True)
    weight = hooked.layers[1].weight.detach()
    assert torch.allclose(cache["layers.0.hook_out_grad"], torch.ones(1, 3) @ weight)
    with pytest.raises(GradientError, match="a SimpleNamespace without a loss"):
        hooked.run_with_cache(X, with_loss=False, incl_bwd=True)
    assert hooked.active_points == ()


class Plugin:
    @hookframe.hookimpl
    def hookframe_model_families(self):
        return [Family(name="other")]


def test_a_family_by_a_name_that_names_nothing_is_refused():
    with (
        hookframe.use_plugins(Plugin()),
        pytest.raises(CannotInstrument, match="family 'other' names no place in this Net"),
    ):
        instrument(Net(), family="other")


def test_the_names_of_a_point_are_asked_for_by_one_of_them(hooked):
    with pytest.raises(UnknownHookPoint, match=r"no hook point that matches 'layers\.\*\.hook_out'"):
        hooked.names_of("layers.*.hook_out")


def test_points_are_chosen_by_globs_and_found_again_when_the_model_has_changed():
    net = Net()
    hooked = instrument(net, points=["layers.*.hook_out", "hook_out"])
    first = set(hooked.hook_dict)
    assert {name.rpartition(".")[2] for name in first} == {"hook_out"}
    net.layers = net.layers[:1]
    hooked.setup()
    assert set(hooked.hook_dict) < first
    with pytest.raises(
        UnknownHookPoint, match=r"no hook point that matches 'leyers\.\*\.hook_out': did you mean 'layers\."
    ):
        instrument(net, points="leyers.*.hook_out")


def test_a_hook_on_a_list_of_modules_says_why_it_did_not_fire(hooked):
    with pytest.warns(hookframe.HookDidNotFireWarning, match="'layers' only holds other modules and is never called"):
        hooked.run_with_hooks(X, fwd_hooks=[("layers.hook_out", lambda tensor, hook: None)])


def test_events_and_reports_name_the_model_inside(hooked):
    told = []

    class Observer:
        @hookframe.hookimpl
        def hookframe_context_entered(self, event):
            told.append(event.model)

    with hookframe.use_plugins(Observer()):
        _, cache = hooked.run_with_cache(X)
    assert told == ["Net"]
    assert cache.report.model == "Net"


def test_a_hook_at_a_place_with_two_names_is_lost_once():
    net = Net()
    hooked = instrument(net)
    hooked.add_hook("layers.1.hook_out", lambda tensor, hook: tensor)
    net.layers = net.layers[:1]
    with pytest.warns(hookframe.HookframeWarning) as caught:
        hooked(X)
    assert str(caught[0].message).count("layers.1.hook_out") == 1
