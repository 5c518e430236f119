"""``list_hooks``, on models and on any class with a ``hook_dict``."""

from __future__ import annotations

import pytest

from hookframe import HookHandle, HookIntrospectionMixin, HookPoint


def nothing(tensor, hook):
    return None


def test_signature_of_list_hooks(same_signature):
    same_signature(HookIntrospectionMixin.list_hooks, {"name_filter": None, "dir": "both", "including_permanent": True})


def test_a_model_without_hooks_lists_nothing(model):
    assert model.list_hooks() == {}


def test_only_points_with_handles_are_listed(model):
    first = model.hook_embed.add_hook(nothing)
    second = model.blocks[1].hook_mlp_out.add_hook(nothing, "bwd")
    assert model.list_hooks() == {"hook_embed": [first], "blocks.1.hook_mlp_out": [second]}


def test_the_listed_values_are_the_handles(model):
    handle = model.hook_embed.add_hook(nothing)
    [listed] = model.list_hooks()["hook_embed"]
    assert listed is handle
    assert isinstance(listed, HookHandle)


@pytest.mark.parametrize(("dir", "places"), [("fwd", [0]), ("bwd", [1]), ("both", [0, 1])])
def test_the_direction_is_honoured(model, dir, places):
    handles = [model.hook_embed.add_hook(nothing), model.hook_embed.add_hook(nothing, "bwd")]
    assert model.list_hooks(dir=dir) == {"hook_embed": [handles[place] for place in places]}


def test_a_point_with_hooks_in_the_other_direction_alone_is_left_out(model):
    model.hook_embed.add_hook(nothing)
    assert model.list_hooks(dir="bwd") == {}


def test_permanent_hooks_are_listed_unless_they_are_left_out(model):
    permanent = model.hook_embed.add_perma_hook(nothing)
    ordinary = model.hook_embed.add_hook(nothing)
    only_permanent = model.blocks[0].hook_mlp_out.add_perma_hook(nothing)
    everything = {"hook_embed": [permanent, ordinary], "blocks.0.hook_mlp_out": [only_permanent]}
    assert model.list_hooks() == everything
    assert model.list_hooks(including_permanent=False) == {"hook_embed": [ordinary]}


@pytest.mark.parametrize(
    "name_filter",
    [
        "blocks.0.hook_mlp_out",
        ["blocks.0.hook_mlp_out"],
        ("blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out"),
        lambda name: name.startswith("blocks.0."),
    ],
    ids=["name", "list", "tuple", "predicate"],
)
def test_the_filter_is_a_name_a_sequence_or_a_predicate(model, name_filter):
    model.hook_embed.add_hook(nothing)
    wanted = model.blocks[0].hook_mlp_out.add_hook(nothing)
    assert model.list_hooks(name_filter) == {"blocks.0.hook_mlp_out": [wanted]}


def test_no_filter_means_all(model):
    for point in model.hook_points():
        point.add_hook(nothing)
    assert list(model.list_hooks(None)) == list(model.hook_dict)


def test_another_direction_is_refused(model):
    with pytest.raises(ValueError, match="Invalid direction"):
        model.list_hooks(dir="sideways")


@pytest.mark.parametrize("name_filter", [7, 1.5, [1]], ids=repr)
def test_another_kind_of_filter_is_refused(model, name_filter):
    with pytest.raises(ValueError, match="filter"):
        model.list_hooks(name_filter)


def test_it_works_on_a_class_with_a_hook_dict_attribute():
    class Bridge(HookIntrospectionMixin):
        def __init__(self):  # no call of the mixin's own
            self.hook_dict = {"one": HookPoint(), "two": HookPoint()}

    bridge = Bridge()
    handle = bridge.hook_dict["two"].add_hook(nothing)
    assert bridge.list_hooks() == {"two": [handle]}
    assert bridge.list_hooks("two") == {"two": [handle]}
    assert bridge.list_hooks("one") == {}


def test_it_works_on_a_class_with_a_hook_dict_property():
    class Bridge(HookIntrospectionMixin):
        @property
        def hook_dict(self):
            return {"one": point}

    point = HookPoint()
    handle = point.add_hook(nothing)
    assert Bridge().list_hooks(lambda name: True) == {"one": [handle]}


def test_the_mixin_has_no_state():
    class Bridge(HookIntrospectionMixin):
        hook_dict = {"one": HookPoint()}

    bridge = Bridge()
    bridge.list_hooks()
    assert vars(bridge) == {}
    assert "__init__" not in vars(HookIntrospectionMixin)
