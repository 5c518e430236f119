"""What a hook returns has to be able to take the activation's place; each mistake is an error that names it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

import hookframe
from hookframe import HookReturnError, guarded

POINT = "blocks.1.hook_resid_pre"


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (
            lambda t: t[:1],
            r"returned a tensor of shape \[1, 5, 8\] at 'blocks.1.hook_resid_pre', in place of \[2, 5, 8\]",
        ),
        (lambda t: t.double(), "of dtype torch.float64 .* guarded\\(function, dtype=False\\)"),
        (lambda t: t.to("meta"), "of device meta .* on cpu"),
        (lambda t: t.numpy(), "returned a numpy.ndarray .* guarded\\(function, tensor=False\\)"),
        (lambda t: (t,), "returned a builtins.tuple"),
        (lambda t: False, "returned a builtins.bool"),
    ],
)
@pytest.mark.parametrize("route", ["add_hook", "hooks", "run_with_hooks", "hook_point"])
def test_what_cannot_take_the_activations_place_is_an_error_on_every_route(model, x, returned, says, route):
    def edit(tensor, hook):
        return returned(tensor)

    with torch.no_grad(), pytest.raises(HookReturnError, match=says) as caught:
        if route == "run_with_hooks":
            model.run_with_hooks(x, fwd_hooks=[(POINT, edit)])
        elif route == "hooks":
            with model.hooks([(POINT, edit)]):
                model(x)
        else:
            model.add_hook(POINT, edit) if route == "add_hook" else model.hook_dict[POINT].add_hook(edit)
            model(x)
    assert "test_return_guard" in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("rule", ["shape", "dtype", "device", "tensor"])
def test_each_check_can_be_lifted(rule):
    returned = {
        "shape": torch.ones(1),
        "dtype": torch.ones(2, dtype=torch.float64),
        "device": torch.ones(2, device="meta"),
        "tensor": np.ones(2),
    }[rule]
    point = hookframe.HookPoint()
    point.add_hook(guarded(lambda tensor, hook: returned, **{rule: False}))
    assert point(torch.ones(2)) is returned


def test_numbers_are_looked_at_on_request_alone(model, x):
    def breaks(tensor, hook):
        return tensor / 0

    assert model.run_with_hooks(x, fwd_hooks=[(POINT, breaks)]).isfinite().sum() == 0
    with pytest.raises(HookReturnError, match="made 80 values that are NaN or infinite"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, guarded(breaks, finite=True))])


@guarded(norm_ratio=2)
def thrice(tensor, hook):
    return tensor * 3


@guarded(norm_ratio=2)
def thrice_in_place(tensor, hook):
    tensor.mul_(3)


@guarded(norm_ratio=2)
def a_quarter(tensor, hook):
    return tensor / 4


@pytest.mark.parametrize("function", [thrice, thrice_in_place, a_quarter, partial(thrice)])
def test_norms_may_change_by_the_ratio_alone(model, x, function):
    with torch.no_grad(), pytest.raises(HookReturnError, match="norm_ratio=2 allows"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, function)])


def test_an_edit_within_its_rules_goes_through(model, x):
    with torch.no_grad():
        expected = model.run_with_hooks(x, fwd_hooks=[(POINT, lambda t, hook: t * 1.5)])
        got = model.run_with_hooks(x, fwd_hooks=[(POINT, guarded(lambda t, hook: t * 1.5, norm_ratio=2, finite=True))])
    assert torch.equal(got, expected)


def test_half_precision_norms_do_not_overflow():
    point = hookframe.HookPoint()
    point.add_hook(guarded(lambda tensor, hook: tensor + 0, norm_ratio=1.01))
    big = torch.full((100,), 60000.0, dtype=torch.float16)
    assert torch.equal(point(big), big)


def test_rules_that_are_none():
    with pytest.raises(ValueError, match="norm_ratio=0.5 would refuse a hook that changes nothing"):
        guarded(norm_ratio=0.5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'sahpe'"):
        guarded(thrice, sahpe=False)
    with pytest.raises(TypeError, match="cannot be marked"):
        guarded(len)


def test_aliases_and_wrappers_keep_the_guard_and_name_the_users_function():
    class Wraps:
        @hookframe.hookimpl
        def hookframe_wrap_hook(self, request, hook):
            inner = hook
            return lambda tensor, *, hook: inner(tensor, hook=hook)

    def bad(tensor, hook):
        return tensor[0]

    with hookframe.use_plugins(Wraps()):
        point = hookframe.HookPoint()
        point.add_hook(bad, alias_names=["a", "b"])
        with pytest.raises(HookReturnError, match=r"<locals>\.bad .* at 'a'"):
            point(torch.ones(2))


def test_a_value_that_is_no_tensor_is_the_hooks_affair():
    point = hookframe.HookPoint()
    point.add_hook(guarded(lambda value, hook: [*value, 1], finite=True))
    assert point([0]) == [0, 1]


def test_compiled_code_keeps_the_shape_check(model, x):
    model.add_hook(POINT, lambda tensor, hook: tensor[:1])
    with torch.no_grad(), pytest.raises(Exception, match="returned a tensor of shape"):
        torch.compile(model, backend="eager")(x)


GRADIENTS = [
    (
        lambda g: g[:, :2],
        r"returned a gradient of shape \[2, 2, 8\] at 'blocks.1.hook_resid_pre', in place of \[2, 5, 8\]",
    ),
    (lambda g: g.expand(3, *g.shape), r"of shape \[3, 2, 5, 8\]"),  # autograd would sum it up
    (lambda g: g.sum(), r"of shape \[\]"),
    (lambda g: g.double(), "of dtype torch.float64 .* torch.float32 on cpu"),  # and cast this
    (lambda g: g.to("meta"), "of device meta .* on cpu"),
    (lambda g: g.numpy(), "returned a numpy.ndarray .* a tuple of just that"),
    (lambda g: (g, g), "returned a builtins.tuple"),
]


@pytest.mark.parametrize(("returned", "says"), GRADIENTS)
@pytest.mark.parametrize("route", ["add_hook", "hooks", "hook_point", "aliases"])
def test_what_cannot_take_the_gradients_place_is_an_error_on_every_route(model, x, returned, says, route):
    def edit(gradient, hook):
        return returned(gradient)

    with model.hooks(bwd_hooks=[(POINT, edit)] if route == "hooks" else []):
        if route == "add_hook":
            model.add_hook(POINT, edit, dir="bwd")
        elif route != "hooks":
            names = {"alias_names": [POINT]} if route == "aliases" else {}
            model.hook_dict[POINT].add_hook(edit, "bwd", **names)
        with pytest.raises(
            HookReturnError, match=f"the bwd hook .*<locals>.edit .*test_return_guard.py:\\d+\\) .*{says}"
        ):
            model(x.requires_grad_()).sum().backward()


@pytest.mark.parametrize("returned", [lambda g: g * 2, lambda g: (g * 2,)])
def test_a_gradient_like_the_one_that_came_goes_on(model, x, returned):
    gradients = []
    for hooks in ([], [(POINT, lambda gradient, hook: returned(gradient))]):
        leaf = x.clone().requires_grad_()
        with model.hooks(bwd_hooks=hooks):
            model(leaf).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[1], gradients[0] * 2)


def test_a_gradient_is_checked_after_it_was_converted_back():
    class Widens:
        @staticmethod
        def convert(tensor):
            return tensor.double()[..., None]

        @staticmethod
        def revert(tensor):
            return tensor.float().squeeze(-1)

    point, leaf = hookframe.HookPoint(), torch.ones(4, requires_grad=True)
    point.hook_conversion = Widens()
    handle = point.add_hook(lambda gradient, hook: gradient * 3, "bwd")
    point(leaf).sum().backward()
    assert leaf.grad.tolist() == [3.0] * 4
    handle.remove()
    point.add_hook(lambda gradient, hook: gradient[:2], "bwd")
    with pytest.raises(HookReturnError, match=r"of shape \[2\] at '\?', in place of \[4\]"):
        point(leaf).sum().backward()


def test_no_rule_lets_autograd_have_another_gradient(model, x):
    model.add_hook(POINT, guarded(lambda gradient, hook: gradient[:1], shape=False), dir="bwd")
    with pytest.raises(HookReturnError, match="of shape"):
        model(x.requires_grad_()).sum().backward()
