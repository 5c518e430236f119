"""Functions that are held to reading."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import hookframe
from hookframe import HookEffectError, HookPoint, hookimpl, read_only

POINT = "blocks.0.hook_mlp_out"


@read_only
def returns(tensor, hook):
    return tensor


@read_only
def edits(tensor, hook):
    tensor.zero_()


@read_only
def edits_a_view(tensor, hook):
    tensor[0, 0].add_(1)


@read_only
def reads(tensor, hook):
    reads.seen = tensor.sum().item()


def test_a_returned_value_raises_with_point_and_function(model, x):
    with pytest.raises(HookEffectError, match=r"returns .*returned a Tensor at 'blocks.0.hook_mlp_out'"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, returns)])
    assert not model.hook_dict[POINT].fwd_hooks


@pytest.mark.parametrize("function", [edits, edits_a_view])
def test_an_in_place_change_raises_with_point_and_function(function, model, x):
    with pytest.raises(HookEffectError, match=rf"{function.__name__} .*in place at 'blocks.0.hook_mlp_out'"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, function)])


@pytest.mark.parametrize("function", [edits, edits_a_view])
def test_under_inference_mode_an_in_place_change_raises_and_cannot_reach_the_model(function, model, x):
    point = HookPoint()
    point.add_hook(function)
    with torch.inference_mode():
        activation = torch.ones(2, 2)
        with pytest.raises(HookEffectError, match="in place"):
            point(activation)
    assert activation.sum() == 4


def test_reading_is_fine(model, x):
    expected = model(x)
    assert torch.equal(model.run_with_hooks(x, fwd_hooks=[(POINT, reads)]), expected)
    assert isinstance(reads.seen, float)


def test_a_read_only_backward_hook_is_held_to_it(model, x):
    with model.hooks(bwd_hooks=[(POINT, returns)]), pytest.raises(HookEffectError, match="returned a Tensor"):
        model(x).sum().backward()


def test_the_mark_is_seen_through_partials_and_methods(model, x):
    class Watcher:
        @read_only
        def watch(self, tensor, hook):
            return tensor

    for function in (partial(returns), Watcher().watch, partial(Watcher().watch)):
        with pytest.raises(HookEffectError, match="returned a Tensor"):
            model.run_with_hooks(x, fwd_hooks=[(POINT, function)])


def test_something_without_attributes_cannot_be_marked():
    with pytest.raises(TypeError, match="wrap it in a function"):
        read_only(len)


def test_aliases_and_plugin_wrappers_are_held_to_it_as_well(model, x):
    class Meddler:
        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            return lambda tensor, hook: tensor * 2

    with hookframe.use_plugins(Meddler()), pytest.raises(HookEffectError, match="returned a Tensor"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, reads)])
    model.hook_dict[POINT].add_hook(returns, alias_names=["a", "b"])
    with pytest.raises(HookEffectError, match="at 'a'"):
        model(x)


def test_requests_say_what_a_function_may_do(model, x):
    seen = {}

    class Look:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            seen.update({(r.function.qualname.rpartition(".")[2], r.caches): r.effect for r in requests})

    with hookframe.use_plugins(Look()):
        model.add_hook(POINT, reads)
        model.add_hook(POINT, lambda tensor, hook: None)
        model.run_with_cache(x, names_filter=POINT)
    assert seen == {("reads", False): "read", ("<lambda>", False): "edit", ("CachingFunction", True): "read"}


def test_what_is_no_tensor_can_be_read_too():
    point = HookPoint()
    point.add_hook(read_only(lambda pair, hook: None))
    assert point((1, 2)) == (1, 2)
    point.add_hook(read_only(lambda pair, hook: pair))
    with pytest.raises(HookEffectError, match="returned a tuple"):
        point((1, 2))


def test_a_marked_call_of_an_object_is_held_to_it(model, x):
    class Meddler:
        @read_only
        def __call__(self, tensor, hook):
            return tensor * 0

    with pytest.raises(HookEffectError, match="Meddler.*returned a Tensor"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, Meddler())])


def test_the_error_names_the_users_function_and_not_a_plugins_wrapper(model, x):
    class Wrapper:
        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            return lambda tensor, hook_=hook, **kwargs: hook_(tensor, **kwargs)

    with hookframe.use_plugins(Wrapper()), pytest.raises(HookEffectError, match="test_effects.returns"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, returns)])


def test_a_read_only_hook_compiles_and_its_returned_value_is_still_refused(model, x):
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with model.hooks(fwd_hooks=[(POINT, read_only(lambda tensor, hook: None))]):
        assert torch.equal(compiled(x), model(x))
    torch._dynamo.reset()
