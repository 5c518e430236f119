"""torch's own hooks on a hook point work as on any module, and leave no trace once they are gone."""

from __future__ import annotations

import pytest
import torch

from hookframe import HookPoint


@pytest.fixture
def point():
    return HookPoint()


def leaf():
    return torch.ones(3, requires_grad=True)


def test_a_forward_hook_sees_and_replaces_the_output(point):
    seen = []
    point.register_forward_hook(lambda module, args, output: seen.append((module, args, output)) or output * 2)
    x = torch.ones(3)
    assert point(x).tolist() == [2, 2, 2]
    assert seen[0][0] is point
    assert seen[0][1][0] is x


def test_a_forward_pre_hook_replaces_the_input(point):
    point.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    assert point(torch.ones(3)).tolist() == [2, 2, 2]


@pytest.mark.parametrize("register", ["register_full_backward_hook", "register_backward_hook"])
@pytest.mark.filterwarnings("ignore:Using a non-full backward hook:FutureWarning")
def test_a_backward_hook_replaces_the_gradient(register, point):
    x = leaf()
    getattr(point, register)(lambda module, grad_in, grad_out: tuple(g if g is None else g * 3 for g in grad_in))
    point(x * 1).sum().backward()
    assert x.grad.tolist() == [3, 3, 3]


def test_a_backward_pre_hook_replaces_the_gradient(point):
    x = leaf()
    point.register_full_backward_pre_hook(lambda module, grad_out: (grad_out[0] * 3,))
    point(x * 1).sum().backward()
    assert x.grad.tolist() == [3, 3, 3]


def test_options_of_torch_reach_torch(point):
    order = []
    point.register_forward_hook(lambda *a, **k: order.append("second"))
    point.register_forward_hook(lambda *a, **k: order.append("first"), prepend=True, with_kwargs=True, always_call=True)
    point.register_forward_pre_hook(lambda module, args, kwargs: order.append("pre"), prepend=True, with_kwargs=True)
    point(torch.ones(1))
    assert order == ["pre", "first", "second"]


def test_they_run_before_hookframes_own_and_are_not_among_them(point):
    order = []
    point.add_hook(lambda tensor, hook: order.append("own"))
    point.register_forward_hook(lambda *args: order.append("torch"))
    point(torch.ones(1))
    assert order == ["torch", "own"]
    assert len(point.fwd_hooks) == 1


def test_after_the_last_torch_hook_has_gone_the_point_is_idle_again(point):
    handle = point.register_forward_hook(lambda *args: None)
    assert point._plan is not None
    handle.remove()
    point(torch.ones(1))
    assert point._plan is None
    handle = point.register_forward_hook(lambda *args: None)
    point._forward_hooks.clear()
    point(torch.ones(1))
    assert point._plan is None


def test_clearing_torchs_table_leaves_hookframes_own_alone(point):
    calls = []
    point.add_hook(lambda tensor, hook: calls.append(1))
    point.register_forward_hook(lambda *args: None)
    point._forward_hooks.clear()
    point(torch.ones(1))
    assert calls == [1]
    assert len(point.fwd_hooks) == 1


def test_a_subclass_with_a_forward_of_its_own_is_run():
    class Doubling(HookPoint):
        def forward(self, x):
            return x * 2

    point = Doubling()
    assert point(torch.ones(1)).item() == 2
    point.add_hook(lambda tensor, hook: tensor + 1)
    assert point(torch.ones(1)).item() == 3
    point.remove_hooks()
    assert point(torch.ones(1)).item() == 2
