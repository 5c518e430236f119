"""Hook points, and other modules, that hang below a hook point."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookPoint


def tenfold(tensor, hook):
    return tensor * 10


class Nested(HookedRootModule):
    """As attribution tools build it: a point for gradients hangs below the point of an output, and is called by a hook there."""

    def __init__(self):
        super().__init__()
        self.hook_out = HookPoint()
        self.hook_out.hook_grad = HookPoint()
        self.hook_out.add_module("holder", nn.ModuleDict({"deep": HookPoint()}))
        self.setup()

    def forward(self, x):
        x = self.hook_out(x * 2)
        return self.hook_out.holder["deep"](self.hook_out.hook_grad(x)).sum()


NAMES = ["hook_out", "hook_out.hook_grad", "hook_out.holder", "hook_out.holder.deep"]
POINTS = [name for name in NAMES if name != "hook_out.holder"]


def test_every_module_of_named_modules_has_its_name():
    model = Nested()
    assert [*model.mod_dict] == NAMES == [name for name, _ in model.named_modules() if name]
    assert [*model.hook_dict] == POINTS == [point.name for point in model.hook_points()]
    assert model.hook_out.holder.name == "hook_out.holder"


def test_a_point_below_a_point_is_one_like_any_other():
    model, x, seen = Nested(), torch.ones(2, requires_grad=True), []
    _, cache = model.run_with_cache(x, incl_bwd=True)
    assert [*cache] == [*POINTS, *(f"{name}_grad" for name in reversed(POINTS))]
    fwd, bwd = [("hook_out.hook_grad", tenfold)], [("hook_out.hook_grad", lambda grad, hook: seen.append(hook.name))]
    with model.hooks(fwd_hooks=fwd, bwd_hooks=bwd):
        output = model(x)
        output.backward()
    assert output.item() == 40.0
    assert seen == ["hook_out.hook_grad"]
    model.reset_hooks(including_permanent=True)
    assert model.list_hooks() == {}


def attribute(model, new):
    model.hook_out.late = new


def add_module(model, new):
    model.hook_out.add_module("late", new)


def register_module(model, new):
    model.hook_out.register_module("late", new)


@pytest.mark.parametrize("attach", [attribute, add_module, register_module])
@pytest.mark.parametrize("below", [HookPoint, lambda: nn.ModuleDict({"p": HookPoint()})], ids=["point", "holder"])
def test_one_that_comes_after_setup_is_noticed_at_the_next_operation(attach, below):
    new = below()
    model = Nested()
    attach(model, new)
    model.add_hook(lambda name: name.startswith("hook_out.late"), tenfold)
    assert [*model.list_hooks()] == [name for name in model.hook_dict if "late" in name] != []


def test_one_that_is_deleted_is_noticed_at_the_next_operation():
    model = Nested()
    del model.hook_out.hook_grad
    with pytest.raises(KeyError, match=r"hook_out\.hook_grad"):
        model.add_hook("hook_out.hook_grad", tenfold)


def test_copies_have_points_below_points_of_their_own():
    model = Nested()
    model.add_hook("hook_out.hook_grad", tenfold)
    other = copy.deepcopy(model)
    assert other.hook_out.hook_grad is other.hook_dict["hook_out.hook_grad"] is not model.hook_out.hook_grad
    assert [*other.list_hooks()] == ["hook_out.hook_grad"]
    assert other(torch.ones(2)).item() == 40.0
