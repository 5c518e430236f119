"""Details that other packages and their tests rely on."""

from __future__ import annotations

from unittest.mock import Mock, patch

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookHandle, HookIntrospectionMixin, HookPoint


def nothing(tensor, hook):
    return None


# ---- a bare root, filled by hand -------------------------------------------------------------------------------------


def bare(**points):
    root = HookedRootModule()
    root.mod_dict = dict(points)
    root.hook_dict = dict(points)
    return root


def test_a_bare_root_works_without_setup():
    root = HookedRootModule()
    root.mod_dict = modules = {"a": HookPoint()}
    root.hook_dict = points = {"b": HookPoint()}
    root.context_level = 5
    assert root.mod_dict is modules
    assert root.hook_dict is points
    assert root.context_level == 5


def test_hook_dict_is_a_real_dict(model):
    assert type(model.hook_dict) is dict
    assert type(model.mod_dict) is dict


def test_points_that_were_set_by_hand_can_be_used_without_setup():
    point = HookPoint()
    root = bare(p=point)
    assert [*root.hook_points()] == [point]
    handle = root.add_hook("p", nothing)
    assert root.list_hooks() == {"p": [handle]}
    with root.hooks(fwd_hooks=[(lambda name: name == "p", nothing)]):
        assert len(point.fwd_hooks) == 2
        point(torch.ones(1))
    root.reset_hooks()
    assert root.list_hooks() == {}


def test_a_level_that_was_set_by_hand_counts_on(two):
    two.context_level = 4
    with two.hooks(fwd_hooks=[("first", nothing)]):
        assert two.context_level == 5
        assert two.first.fwd_hooks[0].context_level == 5
        two(torch.ones(3))
    assert two.context_level == 4


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
@pytest.mark.parametrize("level", [0, 5])
def test_enable_hook_with_name_looks_the_name_up_in_mod_dict(dir, level):
    root = bare(linear=Mock(HookPoint), other=Mock(HookPoint))
    root.hook_dict = {}
    root.context_level = level
    root._enable_hook_with_name(name="linear", hook=nothing, dir=dir)
    root.mod_dict["linear"].add_hook.assert_called_once_with(nothing, dir=dir, level=level)
    root.mod_dict["other"].add_hook.assert_not_called()


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_enable_hooks_for_points_goes_over_the_points_given(dir):
    root = HookedRootModule()
    root.context_level = 3
    points = {"linear": Mock(HookPoint), "attn": Mock(HookPoint), "attn.q": Mock(HookPoint)}
    root._enable_hooks_for_points(
        hook_points=points.items(), enabled=lambda name: name.startswith("attn"), hook=nothing, dir=dir
    )
    points["linear"].add_hook.assert_not_called()
    points["attn"].add_hook.assert_called_once_with(nothing, dir=dir, level=3)
    points["attn.q"].add_hook.assert_called_once_with(nothing, dir=dir, level=3)


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_enable_hook_with_a_name_looks_it_up_in_mod_dict(dir):
    root = bare(linear=Mock(HookPoint))
    root.hook_dict = {}
    root._enable_hook(name="linear", hook=nothing, dir=dir)
    root.mod_dict["linear"].add_hook.assert_called_once_with(nothing, dir=dir, level=0)


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_enable_hook_with_a_predicate_goes_over_hook_dict(dir):
    root = bare(linear=Mock(HookPoint), attn=Mock(HookPoint))
    root.mod_dict = {}
    root._enable_hook(name=lambda name: name == "attn", hook=nothing, dir=dir)
    root.hook_dict["attn"].add_hook.assert_called_once_with(nothing, dir=dir, level=0)
    root.hook_dict["linear"].add_hook.assert_not_called()


def test_the_enable_methods_work_on_a_real_model(two):
    two.context_level = 2
    two._enable_hook_with_name(name="first", hook=nothing, dir="fwd")
    two._enable_hooks_for_points(
        hook_points=two.hook_dict.items(), enabled=lambda n: n == "first", hook=nothing, dir="fwd"
    )
    two._enable_hook(name="second", hook=nothing, dir="bwd")
    assert [handle.context_level for handle in two.first.fwd_hooks] == [2, 2]
    assert [handle.context_level for handle in two.second.bwd_hooks] == [2]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("_enable_hook_with_name", {"name": "first"}),
        ("_enable_hooks_for_points", {"enabled": lambda name: name == "first"}),
        ("_enable_hook", {"name": "first"}),
        ("_enable_hook", {"name": lambda name: name == "first"}),
    ],
    ids=["name", "points", "either name", "either predicate"],
)
def test_the_enable_methods_reach_a_subclass_of_the_point_through_its_own_add_hook(method, arguments):
    class Recording(HookPoint):
        def add_hook(self, *args, **kwargs):
            calls.append((args, kwargs))
            return super().add_hook(*args, **kwargs)

    class Root(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.first = Recording()
            self.setup()

    root, calls = Root(), []
    if method == "_enable_hooks_for_points":
        arguments = {**arguments, "hook_points": root.hook_dict.items()}
    getattr(root, method)(**arguments, hook=nothing, dir="bwd")
    assert calls == [((nothing,), {"dir": "bwd", "level": 0})]


# ---- live lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_the_hook_lists_are_live(dir):
    point = HookPoint()
    handles = lambda: point.fwd_hooks if dir == "fwd" else point.bwd_hooks
    assert not handles()
    added = [point.add_hook(nothing, dir) for _ in range(2)]
    assert handles()
    assert len(handles()) == 2
    assert handles()[0] is added[0]
    assert handles()[-1] is added[1]
    assert [handle is other for handle, other in zip(handles(), added, strict=True)] == [True, True]
    added[0].hook.remove()
    assert len(handles()) == 1
    added[1].hook.remove()
    assert not handles()


def test_a_handle_is_there_while_its_context_lasts(two):
    with two.hooks(fwd_hooks=[("first", nothing)], bwd_hooks=[("second", nothing)]):
        [forward], [backward] = two.first.fwd_hooks, two.second.bwd_hooks
        assert (forward.user_hook, backward.user_hook) == (nothing, nothing)
        two(torch.ones(3), loss=True).backward()
    assert not two.first.fwd_hooks
    assert not two.second.bwd_hooks


def test_model_code_reads_the_lists_of_a_point_without_a_root():
    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.hook_scale = HookPoint()

        def forward(self, x):
            scale = self.hook_scale(x.abs().mean())
            return x / scale if self.hook_scale.bwd_hooks else x / scale.detach()

    norm, x = Norm(), torch.tensor([1.0, 3.0], requires_grad=True)
    norm(x).sum().backward()
    assert x.grad.tolist() == [0.5, 0.5]
    x.grad, seen = None, []
    norm.hook_scale.add_hook(lambda gradient, hook: seen.append(gradient.item()), "bwd")
    norm(x).sum().backward()
    assert seen == [-1]
    assert x.grad.tolist() == [0, 0]


def test_repeated_prepends_run_last_in_first():
    point, calls = HookPoint(), []
    for name in "abc":
        point.add_hook(lambda tensor, hook, name=name: calls.append(name), prepend=True)
    point(torch.ones(1))
    assert calls == ["c", "b", "a"]


# ---- handles ---------------------------------------------------------------------------------------------------------


def test_everything_works_while_torchs_removable_handle_is_patched(two):
    with patch("torch.utils.hooks.RemovableHandle", Mock()):
        handle = two.first.add_hook(lambda tensor, hook: tensor * 10)
        two.add_perma_hook("first", nothing, "bwd")
        assert two(torch.ones(3)).tolist() == [21, 41, 61]
        assert len(two.list_hooks()["first"]) == 2
        handle.hook.remove()
        two.reset_hooks(including_permanent=True)
        assert two.run_with_cache(torch.ones(3))[1].keys() == {"first", "second"}
        made = HookHandle(Mock(), True)
        assert made.is_permanent
    assert two.list_hooks() == {}


def test_the_user_hook_of_a_handle_is_the_callable_that_was_given(two):
    class Callable:
        def __call__(self, tensor, hook):
            return None

    function = Callable()
    given = [two.first.add_hook(function), two.first.add_hook(function, "bwd", alias_names=["a"])]
    with two.hooks(fwd_hooks=[(lambda name: True, function)]):
        given += [*two.first.fwd_hooks, *two.second.fwd_hooks]
        two(torch.ones(3))
    assert all(handle.user_hook is function for handle in given)


def test_the_introspection_lists_handles_made_by_hand_on_points_that_are_mocks():
    class Bridge(HookIntrospectionMixin):
        hook_dict = {"a": Mock(HookPoint), "b": Mock(HookPoint)}

    permanent, ordinary = HookHandle(Mock(), True), HookHandle(Mock())
    Bridge.hook_dict["a"].fwd_hooks, Bridge.hook_dict["a"].bwd_hooks = [permanent, ordinary], []
    Bridge.hook_dict["b"].fwd_hooks, Bridge.hook_dict["b"].bwd_hooks = [], []
    assert Bridge().list_hooks() == {"a": [permanent, ordinary]}
    assert Bridge().list_hooks(including_permanent=False) == {"a": [ordinary]}


# ---- the model's own check -------------------------------------------------------------------------------------------


def test_the_check_gets_three_values_and_three_keywords_before_anything_is_added(make):
    calls = []

    class Watching(make["two"]):
        def check_hooks_to_add(self, hook_point, hook_point_name, hook, **keywords):
            calls.append((hook_point, hook_point_name, hook, keywords, len(self.list_hooks())))

    model = Watching()
    model.add_hook("first", nothing, "bwd", is_permanent=True, prepend=True, level=3)
    keywords = {"dir": "bwd", "is_permanent": True, "prepend": True}
    assert calls == [(model.first, "first", nothing, keywords, 0)]


def test_the_whole_batch_is_checked_before_anything_is_added(make):
    attached = []

    class Watching(make["two"]):
        def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
            attached.append(self.list_hooks())

    model = Watching()
    with model.hooks(fwd_hooks=[("first", nothing), ("second", nothing)]):
        model(torch.ones(3))
    assert attached == [{}, {}]


def test_an_override_of_the_strict_signature_is_called_on_every_route(make):
    seen = []

    class Watching(make["two"]):
        def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
            seen.append(hook_point_name)

    model = Watching()
    model.run_with_cache(torch.ones(3))
    assert seen == ["first", "second"]


def test_an_assertion_error_of_the_check_reaches_the_user_unwrapped(make):
    refusal = AssertionError("use_attn_result is False")

    class Refusing(make["two"]):
        def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
            raise refusal

    model = Refusing()
    for ask in (
        lambda: model.add_hook("first", nothing),
        lambda: model.run_with_hooks(torch.ones(3), fwd_hooks=[("first", nothing)]),
        lambda: model.run_with_cache(torch.ones(3), names_filter="first"),
        lambda: model.first.add_hook(nothing),
    ):
        with pytest.raises(AssertionError, match="use_attn_result is False") as caught:
            ask()
        assert caught.value is refusal
        assert type(caught.value) is AssertionError


def test_run_with_cache_goes_on_working_on_a_model_that_refuses_points_that_never_fire(picky, x, ran):
    _, cache = picky.run_with_cache(x)
    assert list(cache) == ran


# ---- hook functions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_hook_functions_may_take_the_point_by_keyword_only(dir):
    point, seen = HookPoint(), []

    def function(tensor, *, hook):
        seen.append(hook)

    point.add_hook(function, dir)
    point.add_hook(function, dir, alias_names=["alias"])
    point(torch.ones(1, requires_grad=True)).sum().backward()
    assert [hook.name for hook in seen] == [None, "alias"]


def test_backward_functions_get_the_bare_gradient():
    point, seen = HookPoint(), []
    point.add_hook(lambda gradient, hook: seen.append(type(gradient)), "bwd")
    point(torch.ones(1, requires_grad=True)).sum().backward()
    assert seen == [torch.Tensor]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(lambda g: None, 2), (lambda g: g * 3, 6), (lambda g: (g * 3,), 6)],
    ids=["None", "tensor", "tuple"],
)
def test_none_a_tensor_and_a_one_tuple_are_accepted_from_backward_functions(answer, expected):
    point = HookPoint()
    point.add_hook(lambda gradient, hook: answer(gradient), "bwd")
    x = torch.ones(1, requires_grad=True)
    (point(x) * 2).sum().backward()
    assert x.grad.item() == expected


def run_inside_hooks(model, function):
    with model.hooks(fwd_hooks=[("first", function)]):
        model(torch.ones(3))


def run_with_hooks(model, function):
    model.run_with_hooks(torch.ones(3), fwd_hooks=[("first", function)])


def run_with_cache(model, function):
    model.add_hook("first", function)
    model.run_with_cache(torch.ones(3))


@pytest.mark.parametrize("run", [run_inside_hooks, run_with_hooks, run_with_cache])
def test_the_users_exception_comes_out_unwrapped_and_contexts_are_closed(two, run):
    class Boom(Exception):
        pass

    boom = Boom("mine")

    def explode(tensor, hook):
        raise boom

    with pytest.raises(Boom, match="mine") as caught:
        run(two, explode)
    assert caught.value is boom
    assert two.context_level == 0
    assert len(two.list_hooks()) == (run is run_with_cache)
    assert two.is_caching is False


# ---- caches ----------------------------------------------------------------------------------------------------------


def test_a_cache_has_exactly_the_points_that_ran_in_the_order_of_execution():
    class Backwards(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.last, self.unused, self.first = HookPoint(), HookPoint(), HookPoint()
            self.setup()

        def forward(self, x):
            return self.last(self.first(x))

    model = Backwards()
    assert list(model.run_with_cache(torch.ones(1))[1]) == ["first", "last"]
    assert list(model.run_with_cache(torch.ones(1), names_filter=lambda name: True)[1]) == ["first", "last"]
    assert list(model.run_with_cache(torch.ones(1), names_filter=["last", "first"])[1]) == ["first", "last"]


def test_the_key_is_the_name_of_the_hook(two):
    seen = []
    cache, forward, _ = two.get_caching_hooks()
    with two.hooks([*forward, (lambda name: True, lambda tensor, hook: seen.append(hook.name))]):
        two(torch.ones(3))
    assert list(cache) == seen == ["first", "second"]


def test_the_key_is_the_name_of_the_hook_also_after_it_was_renamed(two):
    two.first.name = "renamed"
    assert list(two.run_with_cache(torch.ones(3))[1]) == ["renamed", "second"]


def test_a_cache_is_a_dict(two):
    assert isinstance(two.run_with_cache(torch.ones(3))[1], dict)
    assert isinstance(two.add_caching_hooks(), dict)
    assert isinstance(two.get_caching_hooks()[0], dict)


def test_a_position_given_as_an_int_keeps_the_dimension(model, x):
    assert model.run_with_cache(x, pos_slice=0)[1]["hook_embed"].shape == (2, 1, 6)


def test_the_batch_dimension_is_removed_before_the_slice(model, x, at):
    _, whole = model.run_with_cache(x[:1])
    _, cache = model.run_with_cache(x[:1], remove_batch_dim=True, pos_slice=(1, 3))
    assert all(value.equal(at(whole[name][0], name, slice(1, 3))) for name, value in cache.items())


def test_the_points_own_position_dimension_is_still_the_position_without_the_batch(two):
    two.first.pos_dim = 1
    _, cache = two.run_with_cache(torch.ones(1, 5, 3), remove_batch_dim=True, pos_slice=(0, 2), names_filter="first")
    assert cache["first"].shape == (2, 3)


def test_the_last_position_of_a_single_row_is_found_without_the_batch(two):
    _, cache = two.run_with_cache(torch.ones(1, 3), remove_batch_dim=True, pos_slice=0, names_filter="first")
    assert cache["first"].shape == (3,)  # one dimension is left, too few for a position


class Halved:
    """Hook functions see half the values."""

    def __init__(self):
        self.reverted = []

    def convert(self, tensor):
        return tensor / 2

    def revert(self, tensor):
        self.reverted.append(tensor)
        return tensor * 2


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_the_conversion_is_looked_up_when_the_hook_runs(dir):
    point, seen = HookPoint(), []
    point.add_hook(lambda tensor, hook: seen.append(tensor.item()), dir)
    for conversion in (None, Halved(), None):
        point.hook_conversion = conversion
        (point(torch.ones(1, requires_grad=True))).sum().backward()
    assert seen == [1, 0.5, 1]


@pytest.mark.parametrize("dir", ["fwd", "bwd"])
def test_only_something_returned_is_reverted(dir):
    point, conversion = HookPoint(), Halved()
    point.hook_conversion = conversion
    handle = point.add_hook(nothing, dir)
    point(torch.ones(1, requires_grad=True)).sum().backward()
    assert conversion.reverted == []
    handle.hook.remove()
    point.add_hook(lambda tensor, hook: tensor, dir)
    point(torch.ones(1, requires_grad=True)).sum().backward()
    assert len(conversion.reverted) == 1


def test_a_cache_holds_the_converted_tensor(two):
    two.first.hook_conversion = Halved()
    output, cache = two.run_with_cache(torch.ones(3))
    assert cache["first"].tolist() == [0.5, 1, 1.5]
    assert output.tolist() == [3, 5, 7]


# ---- contexts and modules --------------------------------------------------------------------------------------------


def test_a_context_yields_the_model_itself(two):
    with two.hooks() as entered:
        assert entered is two


class PlainTwo(nn.Module):
    """The modules of the model with two points, without hookframe."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.first = nn.Identity()
        self.second = nn.Identity()


@pytest.mark.parametrize("when", ["new", "hooked", "used"])
def test_nothing_of_hookframes_is_in_the_modules_parameters_and_state(two, when):
    if when != "new":
        two.add_hook(lambda name: True, nothing)
        two.add_perma_hook("first", nothing, "bwd")
        two.add_caching_hooks(incl_bwd=True)
    if when == "used":
        two(torch.ones(3), loss=True).backward()
        with two.hooks():
            pass
    plain = PlainTwo()
    assert list(two.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in two.named_modules()] == [name for name, _ in plain.named_modules()]
    assert [name for name, _ in two.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert list(two.named_buffers()) == []
    point = HookPoint()
    assert (list(point.state_dict()), [*point.named_modules()], [*point.named_parameters()]) == ([], [("", point)], [])


def test_forward_of_a_point_is_the_identity_itself():
    point, x = HookPoint(), torch.ones(1)
    assert point.forward(x) is x
    point.add_hook(lambda tensor, hook: tensor + 1)
    assert point.forward(x) is x


def test_the_introspection_mixin_needs_no_constructor():
    class Slotted(HookIntrospectionMixin):
        hook_dict = {}

        def __init__(self):
            """No call of the mixin's."""

    assert Slotted().list_hooks() == {}
