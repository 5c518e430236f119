"""The root of a model: names, adding, checking and removing hooks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookframeError, HookPoint


def nothing(tensor, hook):
    return None


def fill(model):
    """Hooks of every kind at one point; ``(direction, permanent, level)`` → handle."""
    point = model.first
    return {
        (direction, permanent, level): point.add_hook(nothing, direction, is_permanent=permanent, level=level)
        for direction in ("fwd", "bwd")
        for permanent in (False, True)
        for level in (None, 1, 2)
    }


def left(model, handles):
    attached = [*model.first.fwd_hooks, *model.first.bwd_hooks]
    return {key for key, handle in handles.items() if any(handle is other for other in attached)}


def fits(key, direction, including, level):
    own_direction, permanent, own_level = key
    return direction in (own_direction, "both") and (including or not permanent) and level in (None, own_level)


# ---- making and setting up -------------------------------------------------------------------------------------------


def test_the_root_is_a_module():
    assert isinstance(HookedRootModule(), nn.Module)


def test_a_new_root_is_not_caching_and_at_level_zero():
    root = HookedRootModule()
    assert root.is_caching is False
    assert root.context_level == 0


def test_the_constructor_takes_arguments():
    assert HookedRootModule("cfg", 3).context_level == 0


def test_setup_gives_every_submodule_its_dotted_name(model):
    assert {module.name for module in model.modules() if module is not model} == {
        name for name, _ in model.named_modules() if name
    }
    assert model.blocks[1].attn.hook_q.name == "blocks.1.attn.hook_q"
    assert model.blocks[0].mlp.name == "blocks.0.mlp"


def test_mod_dict_holds_all_modules_but_the_root(model):
    assert model.mod_dict == {name: module for name, module in model.named_modules() if name}


def test_hook_dict_holds_the_hook_points(model):
    points = {name: module for name, module in model.named_modules() if isinstance(module, HookPoint)}
    assert model.hook_dict == points
    assert list(model.hook_dict) == list(points)


def test_setup_again_reads_the_tree_again(two):
    two.third = HookPoint()
    del two.second
    two.setup()
    assert list(two.hook_dict) == list(two.mod_dict) == ["first", "third"]
    assert two.third.name == "third"


def test_setup_again_keeps_the_hooks(two):
    handle = two.first.add_hook(nothing)
    two.setup()
    assert two.first.fwd_hooks == [handle]


def test_hook_points_are_the_points(model):
    assert [*model.hook_points()] == [*model.hook_dict.values()]


# ---- adding ----------------------------------------------------------------------------------------------------------


def test_signature_of_add_hook(same_signature):
    expected = {"name": ..., "hook": ..., "dir": "fwd", "is_permanent": False, "level": None, "prepend": False}
    same_signature(HookedRootModule.add_hook, expected)


def test_signature_of_add_perma_hook(same_signature):
    same_signature(HookedRootModule.add_perma_hook, {"name": ..., "hook": ..., "dir": "fwd"})


def test_a_hook_is_added_by_the_name_of_a_point(two):
    two.add_hook("second", lambda tensor, hook: tensor * 10)
    assert two(torch.ones(3)).tolist() == [21, 41, 61]


def test_a_hook_is_added_by_a_predicate_on_names(model):
    model.add_hook(lambda name: name.endswith("hook_q"), nothing)
    assert list(model.list_hooks()) == ["blocks.0.attn.hook_q", "blocks.1.attn.hook_q"]


def test_a_name_is_no_prefix(model):
    with pytest.raises(HookframeError, match=r"'blocks\.0'"):
        model.add_hook("blocks.0", nothing)
    assert model.list_hooks() == {}


def test_add_hook_passes_its_options_on(two):
    two.add_hook("first", nothing)
    two.add_hook("first", nothing, "fwd", True, 4, True)
    handle = two.first.fwd_hooks[0]
    assert (handle.is_permanent, handle.context_level) == (True, 4)
    two.add_hook("first", nothing, dir="bwd")
    assert len(two.first.bwd_hooks) == 1


def test_add_hook_returns_handles(two):
    handle = two.add_hook("first", nothing)
    assert two.first.fwd_hooks[0] is handle
    handles = two.add_hook(lambda name: True, nothing)
    assert [h is p.fwd_hooks[-1] for h, p in zip(handles, two.hook_points(), strict=True)] == [True, True]


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_add_perma_hook_adds_permanent_hooks(two, dir):
    two.add_perma_hook("first", nothing, dir)
    two.add_perma_hook(lambda name: name == "second", nothing, dir)
    two.reset_hooks()
    assert [len(handles) for handles in two.list_hooks(dir=dir).values()] == [1, 1]


def test_another_direction_is_refused(two):
    with pytest.raises(ValueError, match="Invalid direction"):
        two.add_hook("first", nothing, dir="both")
    with pytest.raises(ValueError, match="Invalid direction"):
        two.add_perma_hook("first", nothing, "up")
    assert two.list_hooks() == {}


# ---- the model's own check -------------------------------------------------------------------------------------------


def test_signature_of_check_hooks_to_add(same_signature):
    expected = {
        "hook_point": ...,
        "hook_point_name": ...,
        "hook": ...,
        "dir": "fwd",
        "is_permanent": False,
        "prepend": False,
    }
    same_signature(HookedRootModule.check_hooks_to_add, expected)


def test_check_and_add_hook_takes_a_level_as_well(two):
    two.check_and_add_hook(two.first, "first", nothing, dir="bwd", is_permanent=True, level=2, prepend=True)
    [handle] = two.first.bwd_hooks
    assert (handle.is_permanent, handle.context_level, handle.user_hook) == (True, 2, nothing)


def test_the_roots_own_check_allows_everything(two):
    assert two.check_hooks_to_add(two.first, "first", nothing) is None


def test_what_the_override_raises_refuses_the_hook_and_reaches_the_caller_unchanged(make):
    class Refusal(Exception):
        pass

    refusal = Refusal("not here")

    class Refusing(make["two"]):
        def check_hooks_to_add(self, *args, **kwargs):
            raise refusal

    model = Refusing()
    with pytest.raises(Refusal, match="not here") as caught:
        model.add_hook("first", nothing)
    assert caught.value is refusal
    with pytest.raises(Refusal, match="not here"):
        model.check_and_add_hook(model.first, "first", nothing)
    assert model.list_hooks() == {}


def test_check_and_add_hook_checks_before_it_adds(make):
    seen = []

    class Watching(make["two"]):
        def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
            seen.append((hook_point, hook_point_name, hook, dir, is_permanent, prepend, len(hook_point.bwd_hooks)))

    model = Watching()
    model.check_and_add_hook(model.second, "second", nothing, "bwd", True, 3, True)
    assert seen == [(model.second, "second", nothing, "bwd", True, True, 0)]
    assert len(model.second.bwd_hooks) == 1


# ---- removing --------------------------------------------------------------------------------------------------------


def test_signature_of_remove_all_hook_fns(same_signature):
    same_signature(
        HookedRootModule.remove_all_hook_fns, {"direction": "both", "including_permanent": False, "level": None}
    )


def test_signature_of_reset_hooks(same_signature):
    expected = {"clear_contexts": True, "direction": "both", "including_permanent": False, "level": None}
    same_signature(HookedRootModule.reset_hooks, expected)


@pytest.mark.parametrize("verb", ["remove_all_hook_fns", "reset_hooks"])
@pytest.mark.parametrize("direction", ["fwd", "bwd", "both"])
@pytest.mark.parametrize("including", [False, True])
@pytest.mark.parametrize("level", [None, 1, 7])
def test_removing_honours_direction_permanence_and_level(two, verb, direction, including, level):
    handles = fill(two)
    getattr(two, verb)(direction=direction, including_permanent=including, level=level)
    assert left(two, handles) == {key for key in handles if not fits(key, direction, including, level)}


@pytest.mark.parametrize("verb", ["remove_all_hook_fns", "reset_hooks"])
def test_removing_takes_ordinary_hooks_of_both_directions_by_default(two, verb):
    handles = fill(two)
    getattr(two, verb)()
    assert left(two, handles) == {key for key in handles if key[1]}


@pytest.mark.parametrize("verb", ["remove_all_hook_fns", "reset_hooks"])
def test_removing_reaches_every_point(model, verb):
    model.add_hook(lambda name: True, nothing)
    getattr(model, verb)()
    assert model.list_hooks() == {}


@pytest.mark.parametrize("verb", ["remove_all_hook_fns", "reset_hooks"])
def test_removing_refuses_another_direction(two, verb):
    handle = two.add_hook("first", nothing)
    with pytest.raises(ValueError, match="Invalid direction"):
        getattr(two, verb)(direction="up")
    assert two.first.fwd_hooks == [handle]


def test_clear_contexts_empties_the_context_of_every_point(model):
    for point in model.hook_points():
        point.ctx["seen"] = 1
    model.clear_contexts()
    assert all(point.ctx == {} for point in model.hook_points())


def test_reset_hooks_clears_contexts_by_default(two):
    two.first.ctx["seen"] = 1
    two.reset_hooks()
    assert two.first.ctx == {}


def test_reset_hooks_keeps_contexts_if_asked(two):
    two.first.ctx["seen"] = 1
    two.reset_hooks(clear_contexts=False)
    assert two.first.ctx == {"seen": 1}


def test_remove_all_hook_fns_keeps_contexts(two):
    two.first.ctx["seen"] = 1
    two.remove_all_hook_fns()
    assert two.first.ctx == {"seen": 1}


def test_reset_hooks_ends_caching(two):
    two.add_caching_hooks()
    two.reset_hooks()
    assert two.is_caching is False
