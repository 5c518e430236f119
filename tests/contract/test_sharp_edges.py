"""Where code written against the API found sharp edges: what is decided here."""

from __future__ import annotations

import gc
import pickle
from collections import UserList

import pytest
import torch
from torch import nn

from hookframe import (
    ActivationCache,
    HookDenied,
    HookedRootModule,
    HookframeError,
    HookPoint,
    Objection,
    UnknownHookPoint,
    hookimpl,
    use_plugins,
)


def nothing(tensor, hook):
    return None


def tenfold(tensor, hook):
    return tensor * 10


# ---- levels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["hooks", "run_with_hooks", "run_with_cache"])
def test_a_hook_that_was_kept_is_not_removed_by_the_next_unrelated_context(two, verb):
    with two.hooks(fwd_hooks=[("second", tenfold)], reset_hooks_end=False):
        pass
    kept = two.second.fwd_hooks[0]
    if verb == "hooks":
        with two.hooks(fwd_hooks=[("first", nothing)]):
            two(torch.ones(3))
    else:
        getattr(two, verb)(torch.ones(3))
    assert two.list_hooks() == {"second": [kept]}


def test_contexts_that_are_closed_out_of_order_remove_their_own_hooks_alone(two):
    one, other = two.hooks(fwd_hooks=[("first", nothing)]), two.hooks(fwd_hooks=[("first", tenfold)])
    one.__enter__()
    other.__enter__()
    two(torch.ones(3))
    one.__exit__(None, None, None)
    assert [handle.user_hook for handle in two.first.fwd_hooks] == [tenfold]
    assert two.context_level == 1
    other.__exit__(None, None, None)
    assert two.list_hooks() == {}
    assert two.context_level == 0


def test_a_hook_added_by_hand_inside_a_context_outlives_it(two):
    with two.hooks(fwd_hooks=[("first", nothing)]):
        two(torch.ones(3))
        own = two.first.add_hook(nothing)
        levelled = two.first.add_hook(nothing, level=1)
    assert two.first.fwd_hooks == [own, levelled]


def test_hooks_of_a_context_can_be_removed_by_their_level(two):
    with two.hooks(fwd_hooks=[("first", nothing)]):
        with two.hooks(fwd_hooks=[("first", tenfold)]):
            two(torch.ones(3))
            two.first.remove_hooks(level=2)
            assert [handle.user_hook for handle in two.first.fwd_hooks] == [nothing]
        assert [handle.user_hook for handle in two.first.fwd_hooks] == [nothing]


def test_a_reset_inside_a_context_does_not_disturb_its_end(two):
    with two.hooks(fwd_hooks=[("first", nothing)]):
        two(torch.ones(3))
        two.reset_hooks()
        assert two.list_hooks() == {}
        kept = two.add_hook("first", nothing)
    assert two.first.fwd_hooks == [kept]
    assert two.context_level == 0


# ---- errors half-way -------------------------------------------------------------------------------------------------


def enter_hooks(model, **arguments):
    model.hooks(**arguments).__enter__()


def run_with_hooks(model, **arguments):
    model.run_with_hooks(torch.ones(3), **arguments)


@pytest.mark.parametrize("use", [enter_hooks, run_with_hooks])
@pytest.mark.parametrize("reset", [True, False])
def test_a_batch_with_a_bad_name_is_not_admitted_at_all(two, use, reset):
    hooks = [("first", nothing), ("secnod", nothing)]
    with pytest.raises(UnknownHookPoint, match="secnod"):
        use(two, fwd_hooks=hooks, reset_hooks_end=reset)
    assert two.list_hooks() == {}
    assert two.context_level == 0


@pytest.mark.parametrize("verb", ["run_with_hooks", "run_with_cache"])
@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_after_a_failing_run_what_was_admitted_stays_if_asked(two, verb):
    arguments = {"fwd_hooks": [("first", nothing)]} if verb == "run_with_hooks" else {"names_filter": "first"}
    with pytest.raises(RuntimeError, match="size"):
        getattr(two, verb)(torch.ones(4), reset_hooks_end=False, **arguments)
    assert list(two.list_hooks()) == ["first"]
    assert two.context_level == 0


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_after_a_failing_body_what_was_admitted_stays_if_asked(two):
    with pytest.raises(KeyError, match="body"), two.hooks(fwd_hooks=[("first", nothing)], reset_hooks_end=False):
        raise KeyError("body")
    assert list(two.list_hooks()) == ["first"]


# ---- is_caching ------------------------------------------------------------------------------------------------------


def test_get_caching_hooks_does_not_mean_caching(two):
    two.get_caching_hooks()
    assert two.is_caching is False


def test_add_caching_hooks_means_caching(two):
    two.add_caching_hooks("first")
    assert two.is_caching is True


@pytest.mark.parametrize("verb", ["run_with_hooks", "run_with_cache"])
def test_an_unrelated_run_does_not_end_caching(two, verb):
    two.add_caching_hooks("first")
    getattr(two, verb)(torch.ones(3))
    assert two.is_caching is True


def test_run_with_cache_means_caching_while_it_runs(two):
    seen = []
    two.add_hook("first", lambda tensor, hook: seen.append(two.is_caching))
    two.run_with_cache(torch.ones(3))
    assert seen == [True]
    assert two.is_caching is False


def test_hooks_from_get_caching_hooks_mean_caching_while_they_are_attached(two):
    _, forward, _ = two.get_caching_hooks()
    with two.hooks(forward):
        assert two.is_caching is True
        two(torch.ones(3))
    assert two.is_caching is False


def test_hooks_that_are_kept_go_on_caching(two):
    two.run_with_cache(torch.ones(3), reset_hooks_end=False)
    assert two.is_caching is True
    two.reset_hooks()
    assert two.is_caching is False


def test_caching_ends_when_the_last_caching_hook_is_removed(two):
    two.add_caching_hooks()
    two.first.remove_hooks()
    assert two.is_caching is True
    two.second.remove_hooks()
    assert two.is_caching is False


def test_gradient_caching_counts_as_caching(two):
    two.add_caching_hooks(incl_bwd=True)
    two.remove_all_hook_fns("fwd")
    assert two.is_caching is True


def test_an_ordinary_hook_is_not_caching(two):
    two.add_hook("first", nothing)
    assert two.is_caching is False


def test_resetting_one_direction_leaves_caching_in_the_other(two):
    two.add_caching_hooks()
    two.reset_hooks(direction="bwd")
    assert two.is_caching is bool(two.list_hooks())


# ---- without setup ---------------------------------------------------------------------------------------------------


class NotSetUpYet(HookedRootModule):
    """Forgot to call ``setup()``."""

    def __init__(self):
        super().__init__()
        self.point = HookPoint()

    def forward(self, x):
        return self.point(x)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.hooks(fwd_hooks=[("point", nothing)]).__enter__(),
        lambda model: model.hooks(fwd_hooks=[(lambda name: True, nothing)]).__enter__(),
        lambda model: model.run_with_hooks(torch.ones(1), fwd_hooks=[("point", nothing)]),
        lambda model: model.run_with_cache(torch.ones(1)),
        lambda model: model.add_hook("point", nothing),
        lambda model: model.add_caching_hooks(),
    ],
    ids=["hooks by name", "hooks by predicate", "run_with_hooks", "run_with_cache", "add_hook", "add_caching_hooks"],
)
def test_without_setup_there_is_a_clear_error_before_anything_changes(use):
    model = NotSetUpYet()
    with pytest.raises(HookframeError, match=r"setup\(\)"):
        use(model)
    assert model.context_level == 0
    assert not model.point.has_hooks()


# ---- both runs call the model ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["run_with_hooks", "run_with_cache"])
def test_the_roots_torch_hooks_fire(two, verb):
    calls = []
    two.register_forward_hook(lambda module, args, output: calls.append("after"))
    getattr(two, verb)(torch.ones(3))
    assert calls == ["after"]


# ---- backward hooks of a context -------------------------------------------------------------------------------------


def run_backward_after_the_context(model, **options):
    seen = []
    with model.hooks(bwd_hooks=[("first", lambda gradient, hook: seen.append(gradient.tolist()))], **options):
        loss = model(torch.ones(3), loss=True)
    loss.backward()
    return seen


def test_backward_hooks_that_are_kept_fire_for_the_forwards_run_inside_the_context(two):
    assert run_backward_after_the_context(two, reset_hooks_end=False) == [[2, 2, 2]]


def test_backward_hooks_fire_for_the_forwards_run_inside_a_context_that_has_ended(two):
    assert run_backward_after_the_context(two) == [[2, 2, 2]]


def test_backward_hooks_fire_inside_their_context(two):
    seen = []
    with two.hooks(bwd_hooks=[("first", lambda gradient, hook: seen.append(1))]):
        two(torch.ones(3), loss=True).backward()
        two(torch.ones(3), loss=True).backward()
    two(torch.ones(3), loss=True).backward()
    assert seen == [1, 1]


# ---- aliases and scale -----------------------------------------------------------------------------------------------


def test_an_edit_by_an_earlier_alias_is_not_lost(two):
    two.second.add_hook(
        lambda t, hook: t * 10 if hook.name == "early" else None, alias_names=["early", "middle", "late"]
    )
    assert two(torch.ones(3)).tolist() == [21, 41, 61]


def test_a_backward_hook_may_return_its_scaled_argument(two):
    two.first.backward_scale = 3.0
    two.first.add_hook(lambda gradient, hook: gradient * 1, "bwd")
    two(torch.ones(3), loss=True).backward()
    assert two.weight.grad.tolist() == [2, 2, 2]


# ---- filters ---------------------------------------------------------------------------------------------------------

NAMES = ("first", "second")


@pytest.mark.parametrize("names", [list(NAMES), NAMES, UserList(NAMES)], ids=["list", "tuple", "own sequence"])
@pytest.mark.parametrize(
    "verb", ["run_with_cache", "get_caching_hooks", "add_caching_hooks", "cache_some", "list_hooks"]
)
def test_any_sequence_of_names_works_everywhere(two, verb, names):
    cache = {}
    if verb == "run_with_cache":
        _, cache = two.run_with_cache(torch.ones(3), names_filter=names)
    elif verb == "get_caching_hooks":
        cache, forward, _ = two.get_caching_hooks(names)
        two.run_with_hooks(torch.ones(3), fwd_hooks=forward)
    elif verb == "list_hooks":
        two.add_hook(lambda name: True, nothing)
        cache = two.list_hooks(names)
    else:
        cache = two.add_caching_hooks(names, cache=cache) if verb == "add_caching_hooks" else cache
        if verb == "cache_some":
            two.cache_some(cache, names)
        two(torch.ones(3))
    assert list(cache) == ["first", "second"]


@pytest.mark.parametrize("verb", ["hooks", "run_with_hooks"])
@pytest.mark.parametrize("direction", ["fwd_hooks", "bwd_hooks"])
def test_an_iterator_of_hooks_works(two, verb, direction):
    def pairs():
        yield "first", lambda tensor, hook: seen.append(hook.name)
        yield "second", lambda tensor, hook: seen.append(hook.name)

    seen = []
    if verb == "hooks":
        with two.hooks(**{direction: pairs()}):
            two(torch.ones(3), loss=True).backward()
    else:
        two.run_with_hooks(torch.ones(3), loss=True, **{direction: pairs()}, reset_hooks_end=False).backward()
    assert sorted(seen) == ["first", "second"]


def raises_at_the_second(name):
    if name == "second":
        raise ZeroDivisionError("in the predicate")
    return True


@pytest.mark.parametrize(
    "use",
    [
        lambda model, bad: model.add_hook(bad, nothing),
        lambda model, bad: model.add_perma_hook(bad, nothing),
        lambda model, bad: model.hooks(fwd_hooks=[("first", nothing), (bad, nothing)]).__enter__(),
        lambda model, bad: model.hooks(fwd_hooks=[("first", nothing)], bwd_hooks=[(bad, nothing)]).__enter__(),
        lambda model, bad: model.run_with_hooks(torch.ones(3), fwd_hooks=[(bad, nothing)], reset_hooks_end=False),
        lambda model, bad: model.run_with_cache(torch.ones(3), names_filter=bad, reset_hooks_end=False),
        lambda model, bad: model.add_caching_hooks(bad),
        lambda model, bad: model._enable_hook(name=bad, hook=nothing, dir="fwd"),
    ],
    ids=[
        "add_hook",
        "add_perma_hook",
        "hooks",
        "bwd hooks",
        "run_with_hooks",
        "run_with_cache",
        "add_caching",
        "_enable",
    ],
)
@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_predicate_that_raises_leaves_nothing_changed(two, use):
    with pytest.raises(ZeroDivisionError, match="in the predicate"):
        use(two, raises_at_the_second)
    assert two.list_hooks() == {}
    assert two.context_level == 0
    assert two.is_caching is False


# ---- shared and changed trees ----------------------------------------------------------------------------------------


class Holder(HookedRootModule):
    """A model around given modules, run in their order."""

    def __init__(self, **modules):
        super().__init__()
        self.order = list(modules)
        for name, module in modules.items():
            self.add_module(name, module)
        self.setup()

    def forward(self, x):
        for name in self.order:
            x = self._modules[name](x)
        return x


def test_two_roots_that_share_a_submodule_have_names_of_their_own():
    shared = nn.Sequential(HookPoint(), nn.ReLU())
    one, other = Holder(encoder=shared), Holder(embed=HookPoint(), tower=shared)
    x = torch.ones(1)
    assert list(one.run_with_cache(x)[1]) == ["encoder.0"]
    assert list(other.run_with_cache(x)[1]) == ["embed", "tower.0"]
    assert list(one.run_with_cache(x)[1]) == ["encoder.0"]
    assert list(one.run_with_cache(x, names_filter="encoder.0")[1]) == ["encoder.0"]
    assert one.hook_dict["encoder.0"] is other.hook_dict["tower.0"]


def test_two_roots_that_share_a_point_tell_hook_functions_their_own_name():
    shared, names = HookPoint(), []
    one, other = Holder(a=shared), Holder(b=shared)
    for root, name in ((one, "a"), (other, "b"), (one, "a")):
        root.run_with_hooks(torch.ones(1), fwd_hooks=[(name, lambda tensor, hook: names.append(hook.name))])
    assert names == ["a", "b", "a"]


def test_gradients_cached_through_one_of_two_roots_have_that_roots_names():
    shared = HookPoint()
    one, other = Holder(a=shared), Holder(b=shared)
    x = torch.ones(1, requires_grad=True)
    assert list(one.run_with_cache(x, incl_bwd=True)[1]) == ["a", "a_grad"]
    assert list(other.run_with_cache(x, incl_bwd=True)[1]) == ["b", "b_grad"]


def test_a_root_inside_another_root_has_names_of_its_own(two):
    outer = Holder(inner=two)
    x = torch.ones(3)
    assert list(outer.run_with_cache(x)[1]) == ["inner.first", "inner.second"]
    assert list(two.run_with_cache(x)[1]) == ["first", "second"]
    with outer.hooks(fwd_hooks=[("inner.second", tenfold)]):
        assert (outer.context_level, two.context_level) == (1, 0)
        assert two(x).tolist() == [21, 41, 61]
    with two.hooks(fwd_hooks=[("second", tenfold)]):
        assert outer(x).tolist() == [21, 41, 61]
    assert two.list_hooks() == outer.list_hooks() == {}


def test_a_root_that_shares_a_submodule_goes_on_working_when_the_other_root_is_gone():
    shared = HookPoint()
    one, other = Holder(a=shared), Holder(b=shared)
    del other
    gc.collect()
    assert list(one.run_with_cache(torch.ones(1))[1]) == ["a"]


def test_one_submodule_under_two_names_is_one_point_with_two_names():
    shared = HookPoint()
    model = Holder(a=shared, b=shared)
    assert model.hook_dict == {"a": shared, "b": shared}
    for name in ("a", "b"):
        with model.hooks(fwd_hooks=[(name, lambda tensor, hook: tensor + 1)]):
            assert len(shared.fwd_hooks) == 1
            assert model(torch.zeros(1)).item() == 2


def test_a_module_under_two_names_has_its_points_under_both():
    shared = nn.Sequential(HookPoint())
    model = Holder(a=shared, b=shared)
    assert model.hook_dict == {"a.0": shared[0], "b.0": shared[0]}


def test_a_modules_own_attribute_called_name_is_not_overwritten():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.name = "mine"
            self.point = HookPoint()

        def forward(self, x):
            return self.point(x)

    model = Holder(inner=Named())
    assert model.inner.name == "mine"
    model.setup()
    assert model.inner.name == "mine"
    assert model.inner.point.name == "inner.point"


def test_a_modules_own_property_called_name_does_not_stop_setup():
    class Named(nn.Module):
        @property
        def name(self):
            return "mine"

    assert Holder(inner=Named()).inner.name == "mine"


def picked_up_or_a_clear_error(use):
    """True if it worked; the only error allowed is one of hookframe's own."""
    try:
        use()
    except HookframeError as error:
        assert str(error)
        return False
    return True


@pytest.mark.parametrize("verb", ["run_with_cache", "hooks", "add_hook"])
def test_a_point_added_after_setup_is_noticed_at_the_next_operation(two, verb):
    two.first = nn.Sequential(HookPoint())
    x, seen = torch.ones(3), []
    look = lambda tensor, hook: seen.append(hook.name)

    def use():
        if verb == "run_with_cache":
            seen.extend(two.run_with_cache(x, names_filter="first.0")[1])
        elif verb == "hooks":
            two.run_with_hooks(x, fwd_hooks=[("first.0", look)])
        else:
            two.add_hook("first.0", look)
            two(x)

    if picked_up_or_a_clear_error(use):
        assert seen == ["first.0"]


def test_a_point_added_after_setup_is_swept_up_by_cache_everything(two):
    two.first = nn.Sequential(HookPoint())
    cache = {}
    if picked_up_or_a_clear_error(lambda: cache.update(two.run_with_cache(torch.ones(3))[1])):
        assert list(cache) == ["first.0", "second"]


@pytest.mark.parametrize("verb", ["run_with_cache", "hooks", "add_hook"])
def test_a_point_replaced_after_setup_is_noticed_at_the_next_operation(two, verb):
    old, two.first = two.first, HookPoint()
    x, seen = torch.ones(3), []
    look = lambda tensor, hook: seen.append((hook is not old, hook.name))

    def use():
        if verb == "run_with_cache":
            seen.extend((True, name) for name in two.run_with_cache(x, names_filter="first")[1])
        elif verb == "hooks":
            two.run_with_hooks(x, fwd_hooks=[("first", look)])
        else:
            two.add_hook("first", look)
            two(x)

    if picked_up_or_a_clear_error(use):
        assert seen == [(True, "first")]
    assert not old.has_hooks()


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.run_with_cache(torch.ones(3), names_filter="first"),
        lambda model: model.run_with_hooks(torch.ones(3), fwd_hooks=[("first", nothing)]),
        lambda model: model.add_hook("first", nothing),
        lambda model: model.add_caching_hooks(["first"]),
    ],
    ids=["run_with_cache", "run_with_hooks", "add_hook", "add_caching_hooks"],
)
def test_a_point_deleted_after_setup_is_a_clear_error_when_it_is_asked_for(make, use):
    class Short(make["two"]):
        def forward(self, x, loss=False):
            return self.second(x)

    model = Short()
    del model.first
    with pytest.raises(UnknownHookPoint, match="first"):
        use(model)
    assert list(model.run_with_cache(torch.ones(3))[1]) == ["second"]


def test_a_deeper_change_of_the_tree_is_noticed_too(model, x, ran):
    model.blocks[1].attn.hook_z = nn.Sequential(HookPoint())
    cache = {}
    if picked_up_or_a_clear_error(lambda: cache.update(model.run_with_cache(x)[1])):
        expected = ["blocks.1.attn.hook_z.0" if name == "blocks.1.attn.hook_z" else name for name in ran]
        assert list(cache) == expected


# ---- removing in odd ways --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_removing_another_hook_from_inside_a_function_takes_effect_at_the_next_call(dir):
    point, calls = HookPoint(), []

    def remove_the_other(tensor, hook):
        calls.append("first")
        other.hook.remove()

    point.add_hook(remove_the_other, dir)
    other = point.add_hook(lambda tensor, hook: calls.append("second"), dir)
    for _ in range(2):
        point(torch.ones(1, requires_grad=True)).sum().backward()
    assert calls == ["first", "second", "first"]


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_a_function_can_remove_its_own_hook(dir):
    point, calls = HookPoint(), []
    handle = point.add_hook(lambda tensor, hook: calls.append(1) or handle.hook.remove(), dir)
    point.add_hook(lambda tensor, hook: calls.append(2), dir)
    for _ in range(2):
        point(torch.ones(1, requires_grad=True)).sum().backward()
    assert calls == [1, 2, 2]


def test_resetting_from_inside_a_function_takes_effect_at_the_next_call(two):
    calls = []
    two.add_hook("first", lambda tensor, hook: two.reset_hooks())
    two.add_hook("first", lambda tensor, hook: calls.append(1))
    two(torch.ones(3))
    two(torch.ones(3))
    assert calls == [1]


def test_adding_from_inside_a_function_takes_effect_at_the_next_call():
    point, calls = HookPoint(), []

    def outer(tensor, hook):
        calls.append("outer")
        hook.add_hook(lambda t, hook: calls.append("inner"))

    point.add_hook(outer)
    point(torch.ones(1))
    assert calls == ["outer"]


def test_clearing_torchs_own_table_cannot_make_the_list_lie():
    point, calls = HookPoint(), []
    point.add_hook(lambda tensor, hook: calls.append(1))
    point._forward_hooks.clear()
    point(torch.ones(1))
    assert len(calls) == len(point.fwd_hooks)


def test_clearing_torchs_own_backward_tables_cannot_make_the_list_lie():
    point, calls = HookPoint(), []
    point.add_hook(lambda gradient, hook: calls.append(1), "bwd")
    point._backward_hooks.clear()
    point._backward_pre_hooks.clear()
    point(torch.ones(1, requires_grad=True)).sum().backward()
    assert len(calls) == len(point.bwd_hooks)


def test_removing_through_a_torch_style_handle_cannot_make_the_list_lie():
    point, calls = HookPoint(), []
    kept = point.add_hook(lambda tensor, hook: calls.append("kept"))
    torchs = point.register_forward_hook(lambda module, args, output: calls.append("torch"))
    point(torch.ones(1))
    assert sorted(calls) == ["kept", "torch"]
    torchs.remove()
    point(torch.ones(1))
    assert sorted(calls) == ["kept", "kept", "torch"]
    assert point.fwd_hooks == [kept]


def test_the_torch_style_handle_of_a_hook_removes_it_from_the_list():
    point, calls = HookPoint(), []
    point.add_hook(lambda tensor, hook: calls.append(1))
    point.fwd_hooks[0].hook.remove()
    point(torch.ones(1))
    assert calls == []
    assert not point.fwd_hooks


def test_removing_twice_does_nothing():
    point = HookPoint()
    handle = point.add_hook(nothing)
    other = point.add_hook(nothing)
    handle.hook.remove()
    handle.hook.remove()
    assert point.fwd_hooks == [other]


# ---- activations that are no tensors ---------------------------------------------------------------------------------


class Tupled(HookedRootModule):
    """An activation that is a tuple."""

    def __init__(self):
        super().__init__()
        self.pair = HookPoint()
        self.setup()

    def forward(self, x):
        return self.pair((x, x))[0]


@pytest.mark.parametrize("options", [{}, {"pos_slice": 1}, {"remove_batch_dim": True}, {"device": "cpu"}], ids=str)
def test_caching_an_activation_that_is_no_tensor_names_the_point_and_the_type(options):
    model = Tupled()
    with pytest.raises(TypeError, match=r"'pair'.*tuple"):
        model.run_with_cache(torch.ones(1, 2, 3), **options)
    assert model.list_hooks() == {}
    assert model.context_level == 0


def test_an_activation_that_is_no_tensor_passes_through_ordinary_hooks():
    seen = []
    Tupled().run_with_hooks(torch.ones(1), fwd_hooks=[("pair", lambda pair, hook: seen.append(type(pair)))])
    assert seen == [tuple]


@pytest.mark.parametrize("name", ["hook_embed", "blocks.x.hook_q", "blocks."])
def test_layer_on_a_name_without_a_number_in_second_place_says_so(name):
    point = HookPoint()
    point.name = name
    with pytest.raises(ValueError, match=f"{name!r}.*(number|integer|layer)"):
        point.layer()


# ---- refusals are values ---------------------------------------------------------------------------------------------


def test_a_refusal_half_way_through_a_batch_attaches_nothing_even_without_reset(two):
    class NoSecond:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [
                Objection.deny(request, rule="no-second", message="not there", remedy="use 'first'")
                for request in requests
                if request.point == "second"
            ]

    with use_plugins(NoSecond()):
        with pytest.raises(HookDenied, match="no-second"):
            two.run_with_hooks(
                torch.ones(3), fwd_hooks=[("first", nothing), ("second", nothing)], reset_hooks_end=False
            )
        assert two.list_hooks() == {}


def test_a_cache_survives_pickling(two):
    _, cache = two.run_with_cache(torch.ones(3))
    again = pickle.loads(pickle.dumps(cache))
    assert isinstance(again, ActivationCache)
    assert {name: value.tolist() for name, value in again.items()} == {name: v.tolist() for name, v in cache.items()}
