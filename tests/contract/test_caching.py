"""Caching: ``run_with_cache`` and the verbs behind it."""

from __future__ import annotations

import inspect
import logging

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookPoint, Slice


def nothing(tensor, hook):
    return None


# ---- signatures ------------------------------------------------------------------------------------------------------


def test_signature_of_add_caching_hooks(same_signature):
    expected = {"names_filter": None, "incl_bwd": False, "device": None, "remove_batch_dim": False, "cache": None}
    same_signature(HookedRootModule.add_caching_hooks, expected)


def test_signature_of_get_caching_hooks(same_signature):
    expected = {
        "names_filter": None,
        "incl_bwd": False,
        "device": None,
        "remove_batch_dim": False,
        "cache": None,
        "pos_slice": None,
    }
    same_signature(HookedRootModule.get_caching_hooks, expected)


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        (
            HookedRootModule.run_with_hooks,
            {"fwd_hooks": [], "bwd_hooks": [], "reset_hooks_end": True, "clear_contexts": False},
        ),
        (
            HookedRootModule.run_with_cache,
            {
                "names_filter": None,
                "device": None,
                "remove_batch_dim": False,
                "incl_bwd": False,
                "reset_hooks_end": True,
                "clear_contexts": False,
                "pos_slice": None,
            },
        ),
    ],
)
def test_signatures_of_the_verbs_that_run_the_model(verb, expected):
    kinds = {name: parameter.kind.name for name, parameter in inspect.signature(verb).parameters.items()}
    assert list(kinds.values()).count("VAR_POSITIONAL") == list(kinds.values()).count("VAR_KEYWORD") == 1
    parameters = inspect.signature(verb).parameters
    defaults = {name: p.default for name, p in parameters.items() if kinds[name] == "KEYWORD_ONLY"}
    found = {name: [] if defaults[name] == () else defaults[name] for name in expected}
    assert found == expected


# ---- run_with_cache --------------------------------------------------------------------------------------------------


def test_run_with_cache_returns_the_output_and_the_cache(two):
    output, cache = two.run_with_cache(torch.ones(3))
    assert output.tolist() == [3, 5, 7]
    assert {name: value.tolist() for name, value in cache.items()} == {"first": [1, 2, 3], "second": [2, 4, 6]}


def test_run_with_cache_does_not_change_the_output(model, x):
    assert model.run_with_cache(x)[0].equal(model(x))


def test_run_with_cache_passes_arguments_on(two):
    assert two.run_with_cache(x=torch.ones(3), loss=True)[0].item() == 15
    assert two.run_with_cache(torch.ones(3), True)[0].item() == 15


def test_cached_values_are_those_at_the_points(model, x, ran):
    seen = {}
    with model.hooks(fwd_hooks=[(name, lambda t, hook: seen.update({hook.name: t.detach().clone()})) for name in ran]):
        model(x)
    _, cache = model.run_with_cache(x)
    assert cache.keys() == seen.keys()
    assert all(cache[name].equal(value) for name, value in seen.items())


def test_run_with_cache_takes_its_hooks_off(model, x):
    kept = model.add_hook("hook_embed", nothing)
    model.run_with_cache(x)
    assert model.list_hooks() == {"hook_embed": [kept]}
    assert model.context_level == 0


def test_run_with_cache_takes_its_hooks_off_after_an_exception(model):
    with pytest.raises(RuntimeError, match="shape"):
        model.run_with_cache(torch.ones(2, 5, 7))
    assert model.list_hooks() == {}
    assert model.context_level == 0


def test_run_with_cache_keeps_its_hooks_if_asked(two):
    _, cache = two.run_with_cache(torch.ones(3), reset_hooks_end=False)
    assert list(two.list_hooks()) == ["first", "second"]
    two(torch.zeros(3))
    assert cache["first"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("clear", [True, False])
def test_run_with_cache_clears_contexts_only_if_asked(two, clear):
    two.first.ctx["seen"] = 1
    two.run_with_cache(torch.ones(3), clear_contexts=clear)
    assert two.first.ctx == ({} if clear else {"seen": 1})


def test_run_with_cache_runs_other_hooks_as_well(two):
    two.add_hook("first", lambda tensor, hook: tensor * 10)
    output, cache = two.run_with_cache(torch.ones(3))
    assert output.tolist() == [21, 41, 61]
    assert cache["second"].tolist() == [20, 40, 60]


def test_what_is_cached_is_what_earlier_functions_at_the_point_made_of_it(two):
    two.add_hook("first", lambda tensor, hook: tensor * 10)
    assert two.run_with_cache(torch.ones(3))[1]["first"].tolist() == [10, 20, 30]


def test_cached_tensors_are_detached(two):
    output, cache = two.run_with_cache(torch.ones(3))
    assert output.requires_grad
    assert not any(value.requires_grad or value.grad_fn for value in cache.values())


# ---- names_filter ----------------------------------------------------------------------------------------------------


def cache_by_running(model, x, names_filter):
    return model.run_with_cache(x, names_filter=names_filter)[1]


def cache_by_adding(model, x, names_filter):
    cache = model.add_caching_hooks(names_filter)
    model(x)
    return cache


def cache_by_hooks(model, x, names_filter):
    cache, forward, backward = model.get_caching_hooks(names_filter)
    with model.hooks(forward, backward):
        model(x)
    return cache


caching = pytest.mark.parametrize("take", [cache_by_running, cache_by_adding, cache_by_hooks])


@caching
@pytest.mark.parametrize(
    ("names_filter", "expected"),
    [
        ("blocks.1.hook_mlp_out", ["blocks.1.hook_mlp_out"]),
        (["blocks.1.hook_mlp_out", "hook_embed"], ["hook_embed", "blocks.1.hook_mlp_out"]),
        (lambda name: name.endswith("hook_z"), ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z"]),
        ([], []),
        (lambda name: False, []),
    ],
    ids=["name", "list", "predicate", "no names", "nothing fits"],
)
def test_the_filter_is_a_name_a_list_or_a_predicate(model, x, take, names_filter, expected):
    assert list(take(model, x, names_filter)) == expected


@caching
def test_no_filter_means_all(model, x, ran, take):
    assert list(take(model, x, None)) == ran


@caching
@pytest.mark.parametrize("names_filter", [5, 2.5, [1, 2]], ids=repr)
def test_another_kind_of_filter_is_refused(model, x, take, names_filter):
    with pytest.raises(ValueError, match="filter"):
        take(model, x, names_filter)
    assert model.list_hooks() == {}
    assert model.is_caching is False


# ---- the other verbs -------------------------------------------------------------------------------------------------


def test_get_caching_hooks_attaches_nothing(model):
    model.get_caching_hooks(incl_bwd=True)
    assert model.list_hooks() == {}


def test_get_caching_hooks_gives_no_backward_hooks_unless_asked(model):
    assert list(model.get_caching_hooks("hook_embed")[2]) == []
    cache, forward, backward = model.get_caching_hooks("hook_embed", incl_bwd=True)
    assert cache == {}
    assert len(forward) == len(backward) == 1


def test_add_caching_hooks_returns_the_dict_that_fills_at_each_run(two):
    cache = two.add_caching_hooks()
    assert cache == {}
    two(torch.ones(3))
    assert cache["first"].tolist() == [1, 2, 3]
    two(torch.zeros(3))
    assert cache["first"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("verb", ["add_caching_hooks", "get_caching_hooks"])
def test_the_callers_own_dict_is_filled(two, verb):
    own = {"before": torch.zeros(1)}
    result = getattr(two, verb)(cache=own)
    if verb == "get_caching_hooks":
        result, forward, _ = result
        with two.hooks(forward):
            two(torch.ones(3))
    else:
        two(torch.ones(3))
    assert result is own
    assert set(own) == {"before", "first", "second"}


def test_an_empty_dict_of_the_callers_is_filled_too(two):
    own = {}
    assert two.add_caching_hooks(cache=own) is own


def test_add_caching_hooks_caches_gradients_if_asked(two):
    cache = two.add_caching_hooks("second", incl_bwd=True)
    two(torch.ones(3), loss=True).backward()
    assert list(cache) == ["second", "second_grad"]
    assert cache["second_grad"].tolist() == [1, 1, 1]


def test_cache_all_is_deprecated_and_works(two, caplog):
    cache = {}
    with caplog.at_level(logging.WARNING):
        two.cache_all(cache)
    assert "cache_all" in caplog.text
    assert "add_caching_hooks" in caplog.text
    two(torch.ones(3))
    assert list(cache) == ["first", "second"]


def test_cache_some_is_deprecated_and_works(two, caplog):
    cache = {}
    with caplog.at_level(logging.WARNING):
        two.cache_some(cache, lambda name: name == "second")
    assert "cache_some" in caplog.text
    assert "add_caching_hooks" in caplog.text
    two(torch.ones(3))
    assert list(cache) == ["second"]


def test_the_deprecated_spellings_take_the_same_options(two):
    everything, some = {}, {}
    two.cache_all(everything, incl_bwd=True, remove_batch_dim=True)
    two.cache_some(some, ["first"], incl_bwd=True, remove_batch_dim=True)
    two(torch.ones(1, 3), loss=True).backward()
    assert list(everything) == ["first", "second", "second_grad", "first_grad"]
    assert list(some) == ["first", "first_grad"]
    assert everything["first"].shape == some["first_grad"].shape == (3,)


# ---- device ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["meta", torch.device("meta")], ids=repr)
@caching
def test_cached_tensors_are_on_the_device_given(two, take, device):
    if take is cache_by_running:
        cache = two.run_with_cache(torch.ones(3), device=device)[1]
    elif take is cache_by_adding:
        cache = two.add_caching_hooks(device=device)
        two(torch.ones(3))
    else:
        cache, forward, _ = two.get_caching_hooks(device=device)
        with two.hooks(forward):
            two(torch.ones(3))
    assert {value.device.type for value in cache.values()} == {"meta"}


def test_the_output_stays_where_it_is_when_a_cache_device_is_given(two):
    output, _ = two.run_with_cache(torch.ones(3), device="meta")
    assert output.device.type == "cpu"


def test_without_a_device_cached_tensors_stay_where_they_are(two):
    assert {value.device.type for value in two.run_with_cache(torch.ones(3))[1].values()} == {"cpu"}


# ---- gradients -------------------------------------------------------------------------------------------------------


def test_incl_bwd_runs_backward_and_caches_gradients(two):
    output, cache = two.run_with_cache(torch.ones(3), loss=True, incl_bwd=True)
    assert output.item() == 15
    assert two.weight.grad.tolist() == [2, 2, 2]
    assert cache["first_grad"].tolist() == [2, 2, 2]
    assert cache["second_grad"].tolist() == [1, 1, 1]


def test_cached_gradients_are_those_that_autograd_computes(model, x, ran):
    kept = {}

    def keep(tensor, hook):
        tensor.retain_grad()
        kept[hook.name] = tensor

    model.run_with_hooks(x, loss=True, fwd_hooks=[(name, keep) for name in ran]).backward()
    _, cache = model.run_with_cache(x, loss=True, incl_bwd=True)
    assert set(cache) == {*ran, *(f"{name}_grad" for name in ran)}
    for name, tensor in kept.items():
        torch.testing.assert_close(cache[f"{name}_grad"], tensor.grad)


def test_without_incl_bwd_no_backward_pass_is_run(two):
    _, cache = two.run_with_cache(torch.ones(3), loss=True)
    assert two.weight.grad is None
    assert set(cache) == {"first", "second"}


def test_after_caching_gradients_no_backward_hook_stays(two):
    two.run_with_cache(torch.ones(3), loss=True, incl_bwd=True)
    assert two.list_hooks() == {}


def test_the_filter_chooses_gradients_too(two):
    _, cache = two.run_with_cache(torch.ones(3), loss=True, incl_bwd=True, names_filter="second")
    assert list(cache) == ["second", "second_grad"]


# ---- remove_batch_dim ------------------------------------------------------------------------------------------------


def test_remove_batch_dim_drops_a_leading_dimension_of_one(model, x):
    _, cache = model.run_with_cache(x[:1], remove_batch_dim=True)
    _, whole = model.run_with_cache(x[:1])
    assert all(value.equal(whole[name][0]) for name, value in cache.items())
    assert cache["hook_embed"].shape == (5, 6)


def test_remove_batch_dim_drops_it_from_gradients_too(model, x):
    _, cache = model.run_with_cache(x[:1], loss=True, incl_bwd=True, remove_batch_dim=True)
    assert cache["hook_embed_grad"].shape == (5, 6)


def test_remove_batch_dim_leaves_the_output(model, x):
    assert model.run_with_cache(x[:1], remove_batch_dim=True)[0].shape == (1, 5, 6)


@pytest.mark.parametrize("batch", [2, 7])
def test_remove_batch_dim_with_another_batch_size_raises_before_the_run(model, batch):
    calls = []
    model.add_hook("hook_embed", lambda tensor, hook: calls.append(1))
    with pytest.raises(AssertionError, match=rf"\b{batch}\b"):
        model.run_with_cache(torch.ones(batch, 5, 6), remove_batch_dim=True)
    assert calls == []
    assert list(model.list_hooks()) == ["hook_embed"]
    assert model.context_level == 0


def test_the_batch_size_is_that_of_the_first_positional_tensor(make):
    class Scaled(make["two"]):
        def forward(self, scale, x):
            return super().forward(x * scale)

    model = Scaled()
    assert model.run_with_cache(2, torch.ones(1, 3), remove_batch_dim=True)[1]["first"].shape == (3,)
    with pytest.raises(AssertionError, match=r"\b4\b"):
        model.run_with_cache(2, torch.ones(4, 3), remove_batch_dim=True)


def test_remove_batch_dim_leaves_another_leading_dimension(two):
    cache = two.add_caching_hooks(remove_batch_dim=True)
    two(torch.ones(2, 3))
    assert cache["first"].shape == (2, 3)


# ---- pos_slice -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pos_slice", "index"),
    [
        (1, [1]),
        (-1, [-1]),
        ((1, 4), slice(1, 4)),
        ((None, None, 2), slice(None, None, 2)),
        ([3, 0], [3, 0]),
        (torch.tensor([2, 2]), [2, 2]),
        (None, slice(None)),
        (Slice((2, None)), slice(2, None)),
    ],
    ids=str,
)
def test_the_slice_is_applied_to_positions(model, x, at, pos_slice, index):
    _, whole = model.run_with_cache(x)
    _, cache = model.run_with_cache(x, pos_slice=pos_slice)
    assert list(cache) == list(whole)
    assert all(value.equal(at(whole[name], name, index)) for name, value in cache.items())


def test_a_slice_of_an_int_takes_the_dimension_away(model, x, at):
    _, whole = model.run_with_cache(x)
    _, cache = model.run_with_cache(x, pos_slice=Slice(3))
    assert all(value.equal(at(whole[name], name, 3)) for name, value in cache.items())


def test_get_caching_hooks_takes_the_slice(model, x):
    cache, forward, _ = model.get_caching_hooks("hook_embed", pos_slice=(0, 2))
    with model.hooks(forward):
        model(x)
    assert cache["hook_embed"].shape == (2, 2, 6)


def one_point(name):
    class Root(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.inner = nn.Module()
            self.inner.add_module(name, HookPoint())
            self.setup()

        def forward(self, x):
            return getattr(self.inner, name)(x)

    return Root()


@pytest.mark.parametrize("name", ["hook_q", "hook_k", "hook_v", "hook_z", "hook_result"])
def test_at_head_points_the_position_is_third_from_last(name):
    _, cache = one_point(name).run_with_cache(torch.ones(2, 5, 4, 3), pos_slice=(0, 2))
    assert cache[f"inner.{name}"].shape == (2, 2, 4, 3)


@pytest.mark.parametrize("name", ["hook_resid_pre", "hook_pattern", "hook_q_input", "hook_v_other", "results"])
def test_at_other_points_the_position_is_second_from_last(name):
    _, cache = one_point(name).run_with_cache(torch.ones(2, 5, 4, 3), pos_slice=(0, 2))
    assert cache[f"inner.{name}"].shape == (2, 5, 2, 3)


def test_gradients_are_sliced_on_the_same_dimension(model, x, at):
    _, whole = model.run_with_cache(x, loss=True, incl_bwd=True)
    model.zero_grad()
    _, cache = model.run_with_cache(x, loss=True, incl_bwd=True, pos_slice=(1, 3))
    assert "blocks.0.attn.hook_q_grad" in cache
    assert all(value.equal(at(whole[name], name, slice(1, 3))) for name, value in cache.items())


@pytest.mark.parametrize("name", ["hook_q", "hook_mlp_out"])
@pytest.mark.parametrize("dim", [0, 1, 2, 3, -1, -4])
def test_the_points_own_position_dimension_comes_first(name, dim):
    model = one_point(name)
    model.hook_dict[f"inner.{name}"].pos_dim = dim
    _, cache = model.run_with_cache(torch.ones(4, 4, 4, 4), pos_slice=(0, 2))
    expected = [4, 4, 4, 4]
    expected[dim] = 2
    assert list(cache[f"inner.{name}"].shape) == expected


@pytest.mark.parametrize(("name", "shape"), [("hook_mlp_out", (5,)), ("hook_q", (5, 4)), ("hook_mlp_out", ())])
def test_tensors_with_too_few_dimensions_are_stored_whole(name, shape):
    _, cache = one_point(name).run_with_cache(torch.ones(shape), pos_slice=(0, 2))
    assert cache[f"inner.{name}"].shape == shape


def test_a_position_dimension_that_the_tensor_has_not_got_stores_it_whole():
    model = one_point("hook_mlp_out")
    model.hook_dict["inner.hook_mlp_out"].pos_dim = 3
    assert model.run_with_cache(torch.ones(5, 5), pos_slice=1)[1]["inner.hook_mlp_out"].shape == (5, 5)
