"""A hook point: its attributes, how it calls functions, adding, finding and removing them."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import hookframe
from hookframe import HookedRootModule, HookHandle, HookPoint, guarded, read_only


@pytest.mark.parametrize(
    "name",
    [
        "DeviceType",
        "HookFunction",
        "HookHandle",
        "HookIntrospectionMixin",
        "HookPoint",
        "HookedRootModule",
        "LensHandle",
        "NamesFilter",
        "Slice",
        "SliceInput",
        "hookimpl",
    ],
)
def test_the_public_names_are_importable_from_the_package(name):
    assert getattr(hookframe, name) is not None
    assert name in hookframe.__all__


def test_lens_handle_is_an_alias_of_hook_handle():
    assert hookframe.LensHandle is hookframe.HookHandle


# ---- the point itself ------------------------------------------------------------------------------------------------


def test_a_hook_point_is_a_module():
    assert isinstance(HookPoint(), nn.Module)


@pytest.mark.parametrize(
    "value", [torch.ones(2), (torch.ones(1), 3), "text", None], ids=["tensor", "tuple", "str", "None"]
)
def test_a_point_without_hooks_is_the_identity(value):
    assert HookPoint()(value) is value


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("fwd_hooks", []),
        ("bwd_hooks", []),
        ("ctx", {}),
        ("name", None),
        ("hook_conversion", None),
        ("backward_scale", 1.0),
        ("pos_dim", None),
    ],
)
def test_attributes_of_a_new_point(attribute, value):
    assert getattr(HookPoint(), attribute) == value


def test_the_hook_lists_are_lists():
    point = HookPoint()
    assert isinstance(point.fwd_hooks, list)
    assert isinstance(point.bwd_hooks, list)


def test_ctx_is_each_points_own():
    one, other = HookPoint(), HookPoint()
    one.ctx["seen"] = 1
    assert other.ctx == {}


def test_the_name_is_set_by_the_roots_setup():
    class Root(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(HookPoint())

    root = Root()
    assert root.inner[0].name is None
    root.setup()
    assert root.inner[0].name == "inner.0"


def test_signature_of_add_hook(same_signature):
    expected = {
        "hook": ...,
        "dir": "fwd",
        "is_permanent": False,
        "level": None,
        "prepend": False,
        "alias_names": None,
    }
    same_signature(HookPoint.add_hook, expected)


def test_signature_of_add_perma_hook(same_signature):
    same_signature(HookPoint.add_perma_hook, {"hook": ..., "dir": "fwd"})


# ---- calling ---------------------------------------------------------------------------------------------------------


def test_a_forward_function_gets_the_tensor_and_the_point():
    point, x, seen = HookPoint(), torch.ones(2), []
    point.add_hook(lambda tensor, hook: seen.append((tensor, hook)))
    point(x)
    [(tensor, hook)] = seen
    assert tensor is x
    assert hook is point


def test_what_a_forward_function_returns_replaces_the_tensor():
    point = HookPoint()
    point.add_hook(lambda tensor, hook: tensor + 1)
    assert point(torch.zeros(2)).tolist() == [1, 1]


def test_none_from_a_forward_function_leaves_the_tensor():
    point, x = HookPoint(), torch.ones(2)
    point.add_hook(lambda tensor, hook: None)
    assert point(x) is x


@pytest.mark.parametrize("replacement", [torch.tensor(0.0), 0, (), ""], ids=repr)
def test_a_false_value_that_is_not_none_replaces_too(replacement):
    point = HookPoint()
    point.add_hook(hookframe.guarded(lambda tensor, hook: replacement, tensor=False))
    assert point(torch.ones(())) is replacement


def test_forward_functions_run_in_the_order_added_and_see_what_the_one_before_returned():
    point = HookPoint()
    point.add_hook(lambda tensor, hook: tensor + 1)
    point.add_hook(lambda tensor, hook: None)
    point.add_hook(lambda tensor, hook: tensor * 10)
    assert point(torch.ones(1)).item() == 20


def test_an_in_place_edit_by_a_forward_function_is_seen_after_the_point():
    def zero(tensor, hook):
        tensor.zero_()

    point, x = HookPoint(), torch.ones(1)
    point.add_hook(zero)
    assert point(x) is x
    assert x.item() == 0


def test_the_same_function_added_twice_runs_twice():
    point = HookPoint()

    def add_one(tensor, hook):
        return tensor + 1

    point.add_hook(add_one)
    point.add_hook(add_one)
    assert point(torch.zeros(1)).item() == 2


def test_a_backward_function_gets_the_gradient_of_the_points_output():
    point, seen = HookPoint(), []
    point.add_hook(lambda gradient, hook: seen.append((gradient.clone(), hook)), dir="bwd")
    x = torch.ones(2, requires_grad=True)
    (point(x * 5) * torch.tensor([2.0, 3.0])).sum().backward()
    [(gradient, hook)] = seen
    assert gradient.tolist() == [2, 3]
    assert hook is point
    assert x.grad.tolist() == [10, 15]


@pytest.mark.parametrize("wrap", [lambda g: g, lambda g: (g,)], ids=["tensor", "one-tuple"])
def test_a_tensor_or_a_one_tuple_from_a_backward_function_replaces_the_gradient(wrap):
    point = HookPoint()
    point.add_hook(lambda gradient, hook: wrap(gradient * 100), dir="bwd")
    x = torch.ones(2, requires_grad=True)
    (point(x) * 2).sum().backward()
    assert x.grad.tolist() == [200, 200]


def test_a_backward_function_does_not_run_forward():
    point, seen = HookPoint(), []
    point.add_hook(lambda gradient, hook: seen.append(1), dir="bwd")
    point(torch.ones(1, requires_grad=True))
    assert seen == []


# ---- handles ---------------------------------------------------------------------------------------------------------


def test_add_hook_returns_the_handle_that_is_listed():
    point = HookPoint()
    forward = point.add_hook(lambda tensor, hook: None)
    backward = point.add_hook(lambda gradient, hook: None, dir="bwd")
    assert isinstance(forward, HookHandle)
    assert len(point.fwd_hooks) == len(point.bwd_hooks) == 1
    assert point.fwd_hooks[0] is forward
    assert point.bwd_hooks[0] is backward


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_add_perma_hook_adds_a_permanent_hook(dir):
    point = HookPoint()
    handle = point.add_perma_hook(lambda tensor, hook: None, dir)
    assert handle.is_permanent is True
    assert [bool(point.fwd_hooks), bool(point.bwd_hooks)] == [dir == "fwd", dir == "bwd"]


def test_the_handle_says_how_the_hook_was_added():
    def function(tensor, hook):
        return None

    handle = HookPoint().add_hook(function, is_permanent=True, level=3)
    assert (handle.is_permanent, handle.context_level) == (True, 3)
    assert handle.user_hook is function


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_the_hook_of_a_handle_removes_it(dir):
    point = HookPoint()
    kept = point.add_hook(lambda tensor, hook: None, dir=dir)
    point.add_hook(lambda tensor, hook: tensor * 0, dir=dir).hook.remove()
    assert [*point.fwd_hooks, *point.bwd_hooks] == [kept]
    x = torch.ones(1, requires_grad=True)
    y = point(x)
    y.sum().backward()
    assert (y.item(), x.grad.item()) == (1, 1)


def test_a_handle_has_defaults():
    removable = object()
    handle = HookHandle(removable)
    assert handle.hook is removable
    assert (handle.is_permanent, handle.context_level, handle.user_hook) == (False, None, None)


def test_a_handle_can_be_made_positionally():
    removable, function = object(), object()
    handle = HookHandle(removable, True, 2, function)
    assert (handle.hook, handle.is_permanent, handle.context_level, handle.user_hook) == (removable, True, 2, function)


# ---- aliases ---------------------------------------------------------------------------------------------------------


def test_with_aliases_the_function_is_called_once_for_each_in_order():
    point, names = HookPoint(), []
    point.name = "blocks.3.own"
    point.add_hook(lambda tensor, hook: names.append(hook.name), alias_names=["b", "a"])
    point(torch.ones(1))
    assert names == ["b", "a"]
    assert point.name == "blocks.3.own"


def test_with_aliases_a_backward_function_is_called_once_for_each_in_order():
    point, seen = HookPoint(), []
    point.add_hook(
        lambda gradient, hook: seen.append((hook.name, gradient.item())) or gradient * 2, "bwd", alias_names=["b", "a"]
    )
    x = torch.ones(1, requires_grad=True)
    point(x).sum().backward()
    assert seen == [("b", 1), ("a", 2)]
    assert x.grad.item() == 4


def test_the_view_of_an_alias_passes_the_points_things_through():
    point, views = HookPoint(), []
    point.name = "blocks.3.own"
    point.enable_reshape(conversion := Doubled())

    def look(tensor, hook):
        views.append((hook.hook_conversion, hook.layer(), hook.ctx))
        hook.ctx["kept"] = True

    point.add_hook(look, alias_names=["elsewhere.7.alias"])
    point(torch.ones(1))
    assert views == [(conversion, 3, {"kept": True})]
    assert views[0][2] is point.ctx


def test_each_alias_sees_what_the_one_before_returned():
    point, seen = HookPoint(), []
    point.add_hook(lambda tensor, hook: seen.append(tensor.item()) or tensor + 1, alias_names=["a", "b", "c"])
    assert point(torch.zeros(1)).item() == 3
    assert seen == [0, 1, 2]


def test_the_last_state_is_the_result_even_when_the_last_alias_returned_none():
    point = HookPoint()
    point.add_hook(lambda tensor, hook: tensor + 1 if hook.name == "a" else None, alias_names=["a", "b"])
    assert point(torch.zeros(1)).item() == 1


def test_aliases_that_return_nothing_leave_the_tensor():
    point, x = HookPoint(), torch.ones(1)
    point.add_hook(lambda tensor, hook: None, alias_names=["a", "b"])
    assert point(x) is x


def test_aliases_count_as_one_hook():
    point = HookPoint()
    point.add_hook(lambda tensor, hook: None, alias_names=["a", "b"])
    assert len(point.fwd_hooks) == 1


# ---- conversion ------------------------------------------------------------------------------------------------------


class Doubled:
    """Hook functions see twice the values."""

    def __init__(self):
        self.reverted = 0

    def convert(self, tensor):
        return tensor * 2

    def revert(self, tensor):
        self.reverted += 1
        return tensor / 2


def test_with_a_conversion_the_function_sees_the_converted_tensor_and_its_result_is_reverted():
    point, seen = HookPoint(), []
    point.hook_conversion = Doubled()
    point.add_hook(lambda tensor, hook: seen.append(tensor.item()) or tensor + 10)
    assert point(torch.ones(1)).item() == 6
    assert seen == [2]


def test_with_a_conversion_and_none_returned_the_tensor_itself_goes_on():
    point, x = HookPoint(), torch.ones(1)
    point.hook_conversion = Doubled()
    point.add_hook(lambda tensor, hook: None)
    assert point(x) is x


def test_with_a_conversion_each_function_gets_it_afresh():
    point, seen = HookPoint(), []
    point.hook_conversion = Doubled()
    for _ in range(2):
        point.add_hook(lambda tensor, hook: seen.append(tensor.item()) or tensor + 2)
    assert point(torch.ones(1)).item() == 3
    assert seen == [2, 4]


def test_with_a_conversion_a_backward_function_sees_the_converted_gradient():
    point, seen = HookPoint(), []
    point.hook_conversion = Doubled()
    point.add_hook(lambda gradient, hook: seen.append(gradient.item()) or gradient + 10, "bwd")
    x = torch.ones(1, requires_grad=True)
    (point(x) * 3).sum().backward()
    assert seen == [6]
    assert x.grad.item() == 8


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
@pytest.mark.parametrize(
    "mark", [lambda function: function, read_only, guarded(norm_ratio=10)], ids=["plain", "reads", "norm"]
)
def test_without_a_name_among_its_aliases_a_function_never_fires(dir, mark):
    point, leaf = HookPoint(), torch.ones(2, requires_grad=True)
    handle = point.add_hook(mark(lambda tensor, hook: pytest.fail("it fired")), dir=dir, alias_names=[])
    point(leaf).sum().backward()
    assert leaf.grad.tolist() == [1.0, 1.0]
    assert getattr(copy.deepcopy(point), f"{dir}_hooks")[0].hook.aliases == () == handle.hook.aliases
    assert point.has_hooks(dir)


def test_a_cache_without_a_name_among_its_aliases_stays_empty(two):
    cache, fwd, _ = two.get_caching_hooks("first")
    two.first.add_hook(fwd[0][1], alias_names=[])
    two(torch.ones(3))
    assert cache == {}


def test_the_parameter_of_enable_reshape_has_a_name():
    point = HookPoint()
    point.enable_reshape(hook_conversion=(conversion := Doubled()))
    assert point.hook_conversion is conversion


def test_enable_reshape_sets_the_conversion():
    point, conversion = HookPoint(), Doubled()
    point.enable_reshape(conversion)
    assert point.hook_conversion is conversion
    point.enable_reshape()
    assert point.hook_conversion is None


# ---- backward scale --------------------------------------------------------------------------------------------------


def run_backward_with_scale(function, scale=3.0, shape=(2, 2)):
    point = HookPoint()
    point.backward_scale = scale
    point.add_hook(function, "bwd")
    x = torch.ones(shape, requires_grad=True)
    (point(x) * 2).sum().backward()
    return x.grad


def test_with_a_backward_scale_the_sum_of_a_gradient_is_scaled():
    sums = []
    run_backward_with_scale(lambda gradient, hook: sums.append(float(gradient.sum())))
    assert sums == [24.0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({"dim": 0}, [4.0, 4.0]), ({"dim": (0, 1), "keepdim": True}, [8.0])],
    ids=repr,
)
def test_with_a_backward_scale_a_sum_that_is_no_scalar_is_not_scaled(arguments, expected):
    sums = []
    run_backward_with_scale(lambda gradient, hook: sums.append(gradient.sum(**arguments).flatten().tolist()))
    assert sums == [expected]


def test_with_a_backward_scale_all_else_passes_through():
    seen = []

    def look(gradient, hook):
        seen.append(
            (
                tuple(gradient.shape),
                gradient.dtype,
                gradient.mean().item(),
                gradient[0, 0].item(),
                gradient.max().item(),
            )
        )

    run_backward_with_scale(look)
    assert seen == [((2, 2), torch.float32, 2.0, 2.0, 2.0)]


def test_with_a_backward_scale_the_gradient_itself_flows_unscaled():
    assert run_backward_with_scale(lambda gradient, hook: None).tolist() == [[2, 2], [2, 2]]


def test_a_backward_scale_of_one_gives_the_bare_gradient():
    types = []
    run_backward_with_scale(lambda gradient, hook: types.append((type(gradient), float(gradient.sum()))), scale=1.0)
    assert types == [(torch.Tensor, 8.0)]


def test_a_backward_scale_does_not_touch_forward_functions():
    point, sums = HookPoint(), []
    point.backward_scale = 3.0
    point.add_hook(lambda tensor, hook: sums.append(float(tensor.sum())))
    point(torch.ones(4))
    assert sums == [4.0]


# ---- order -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_prepend_puts_a_hook_before_all_others_in_call_order_and_in_the_list(dir):
    point, calls = HookPoint(), []
    functions = {name: lambda tensor, hook, name=name: calls.append(name) for name in "abc"}
    point.add_hook(functions["a"], dir)
    point.add_hook(functions["b"], dir, is_permanent=True)
    point.add_hook(functions["c"], dir, prepend=True)
    point(torch.ones(1, requires_grad=True)).sum().backward()
    assert calls == ["c", "a", "b"]
    handles = point.fwd_hooks if dir == "fwd" else point.bwd_hooks
    assert [handle.user_hook for handle in handles] == [functions[name] for name in "cab"]


steps = st.lists(st.sampled_from(["add", "prepend", "remove first", "remove last"]), max_size=12)


@given(steps, st.sampled_from(["fwd", "bwd"]))
def test_any_sequence_of_adding_and_removing_keeps_list_and_call_order_together(steps, dir):
    point, oracle, calls = HookPoint(), [], []
    for number, step in enumerate(steps):
        if step.startswith("remove"):
            if oracle:
                handles = point.fwd_hooks if dir == "fwd" else point.bwd_hooks
                place = 0 if step == "remove first" else -1
                handles[place].hook.remove()
                del oracle[place]
        else:
            point.add_hook(lambda tensor, hook, n=number: calls.append(n), dir, prepend=step == "prepend")
            oracle.insert(0 if step == "prepend" else len(oracle), number)
    point(torch.ones(1, requires_grad=True)).sum().backward()
    assert calls == oracle
    assert len(point.fwd_hooks if dir == "fwd" else point.bwd_hooks) == len(oracle)


# ---- directions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dir", ["both", "forward", "", None])
def test_add_hook_refuses_another_direction(dir):
    point = HookPoint()
    with pytest.raises(ValueError, match="Invalid direction"):
        point.add_hook(lambda tensor, hook: None, dir=dir)
    with pytest.raises(ValueError, match="Invalid direction"):
        point.add_perma_hook(lambda tensor, hook: None, dir)
    assert not point.has_hooks()


@pytest.mark.parametrize("dir", ["forward", "", None])
def test_finding_and_removing_refuse_another_direction(dir):
    point = HookPoint()
    point.add_hook(lambda tensor, hook: None)
    with pytest.raises(ValueError, match="Invalid direction"):
        point.has_hooks(dir=dir)
    with pytest.raises(ValueError, match="Invalid direction"):
        point.remove_hooks(dir=dir)
    assert point.has_hooks()


# ---- has_hooks -------------------------------------------------------------------------------------------------------


def test_signatures_of_has_hooks_and_remove_hooks(same_signature):
    same_signature(HookPoint.has_hooks, {"dir": "both", "including_permanent": True, "level": None})
    same_signature(HookPoint.remove_hooks, {"dir": "fwd", "including_permanent": False, "level": None})


@pytest.mark.parametrize("added", ["fwd", "bwd"])
@pytest.mark.parametrize("asked", ["fwd", "bwd", "both"])
def test_has_hooks_looks_in_the_direction_asked_for(added, asked):
    point = HookPoint()
    point.add_hook(lambda tensor, hook: None, added)
    assert point.has_hooks(asked) is (asked in (added, "both"))


def test_has_hooks_is_false_on_a_new_point():
    assert HookPoint().has_hooks() is False


@pytest.mark.parametrize(("including", "found"), [(True, True), (False, False)])
def test_has_hooks_counts_permanent_hooks_only_if_asked(including, found):
    point = HookPoint()
    point.add_perma_hook(lambda tensor, hook: None)
    assert point.has_hooks(including_permanent=including) is found


@pytest.mark.parametrize(("level", "found"), [(None, True), (1, False), (2, True)])
@pytest.mark.parametrize("including", [True, False])
def test_has_hooks_honours_the_level(level, found, including):
    point = HookPoint()
    point.add_hook(lambda tensor, hook: None, level=2)
    assert point.has_hooks(including_permanent=including, level=level) is found


def test_has_hooks_honours_the_level_for_permanent_hooks_too():
    point = HookPoint()
    point.add_hook(lambda tensor, hook: None, is_permanent=True, level=2)
    assert point.has_hooks(level=2) is True
    assert point.has_hooks(level=1) is False


# ---- remove_hooks ----------------------------------------------------------------------------------------------------


def point_with_all_kinds():
    point = HookPoint()
    handles = {}
    for direction in ("fwd", "bwd"):
        for permanent in (False, True):
            for level in (None, 1, 2):
                handle = point.add_hook(lambda tensor, hook: None, direction, is_permanent=permanent, level=level)
                handles[direction, permanent, level] = handle
    return point, handles


@pytest.mark.parametrize("dir", ["fwd", "bwd", "both"])
@pytest.mark.parametrize("including", [True, False])
@pytest.mark.parametrize("level", [None, 1, 2, 7])
def test_remove_hooks_removes_what_fits_direction_permanence_and_level(dir, including, level):
    point, handles = point_with_all_kinds()
    point.remove_hooks(dir, including_permanent=including, level=level)
    expected = [
        handle
        for (has_dir, has_permanent, has_level), handle in handles.items()
        if not (dir in (has_dir, "both") and (including or not has_permanent) and level in (None, has_level))
    ]
    assert [*point.fwd_hooks, *point.bwd_hooks] == expected


def test_remove_hooks_removes_ordinary_forward_hooks_by_default():
    point, handles = point_with_all_kinds()
    point.remove_hooks()
    left = {key for key, handle in handles.items() if any(handle is h for h in [*point.fwd_hooks, *point.bwd_hooks])}
    assert left == {key for key in handles if key[0] == "bwd" or key[1]}


def test_level_is_honoured_even_when_permanent_hooks_are_included():
    point = HookPoint()
    permanent = point.add_perma_hook(lambda tensor, hook: None)
    ordinary = point.add_hook(lambda tensor, hook: None, level=1)
    point.add_hook(lambda tensor, hook: None, level=2)
    point.remove_hooks("both", including_permanent=True, level=2)
    assert point.fwd_hooks == [permanent, ordinary]


def test_removed_hooks_no_longer_run():
    point, x = HookPoint(), torch.ones(1, requires_grad=True)
    point.add_hook(lambda tensor, hook: tensor * 0)
    point.add_hook(lambda gradient, hook: gradient * 0, "bwd")
    point.remove_hooks("both")
    y = point(x)
    y.sum().backward()
    assert (y.item(), x.grad.item()) == (1, 1)


# ---- context, layer, repr --------------------------------------------------------------------------------------------


def test_clear_context_gives_a_fresh_dict():
    point = HookPoint()
    old = point.ctx
    old["seen"] = 1
    point.clear_context()
    assert point.ctx == {}
    assert point.ctx is not old
    assert old == {"seen": 1}


@pytest.mark.parametrize(("name", "layer"), [("blocks.3.x", 3), ("blocks.12.attn.hook_q", 12), ("encoder.0", 0)])
def test_layer_is_the_integer_in_the_second_part_of_the_name(name, layer):
    point = HookPoint()
    point.name = name
    assert point.layer() == layer


def test_layer_needs_a_name():
    with pytest.raises(ValueError, match="name"):
        HookPoint().layer()


def test_repr_of_a_bare_point():
    assert repr(HookPoint()) == "HookPoint()"


@pytest.mark.parametrize(
    ("name", "forward", "backward", "expected"),
    [
        ("a.b", 2, 1, "HookPoint(name='a.b', 2 fwd, 1 bwd)"),
        ("a.b", 0, 0, "HookPoint(name='a.b')"),
        ("a.b", 0, 3, "HookPoint(name='a.b', 3 bwd)"),
        (None, 1, 0, "HookPoint(1 fwd)"),
    ],
)
def test_repr_has_the_parts_that_apply(name, forward, backward, expected):
    point = HookPoint()
    point.name = name
    for _ in range(forward):
        point.add_hook(lambda tensor, hook: None)
    for _ in range(backward):
        point.add_hook(lambda gradient, hook: None, "bwd")
    assert repr(point) == expected
