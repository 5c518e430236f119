"""Hook points that somebody takes out of a model for a while, as analysis libraries do, and puts back."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookPoint, HooksLostWarning, NotAHookPoint, UnknownHookPoint

ONES = torch.ones(2)
NAMES = ["hook_in", "inner.hook_mid", "hook_out"]


def double(tensor, hook):
    return tensor * 2


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.hook_mid = HookPoint()

    def forward(self, x):
        return self.hook_mid(x + 1)


class Encoder(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_in = HookPoint()
        self.inner = Inner()
        self.hook_out = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_out(self.inner(self.hook_in(x)))


def exchange(model, modules):
    for name, module in dict(modules).items():
        path, _, last = name.rpartition(".")
        setattr(model.get_submodule(path), last, module)


def without_points(model):
    """Exchange all points, as SAELens does, and return what was there."""
    before = dict(model.hook_dict)
    exchange(model, {name: nn.Identity() for name in model.hook_dict})
    return before


@pytest.fixture
def encoder():
    return Encoder()


def run(model):
    return model(ONES)


def ask(model):
    with pytest.warns(HooksLostWarning, match="Encoder now, though it had some"):
        model.run_with_cache(ONES)


def reset(model):
    model.reset_hooks()


@pytest.mark.parametrize("operations", [(run,), (ask,), (run, reset, ask, run), ()], ids=len)
def test_points_that_were_exchanged_come_back_from_hook_dict(encoder, operations):
    points = without_points(encoder)
    for operation in operations:
        operation(encoder)
        assert encoder.hook_dict == points
        assert [*encoder.hook_dict] == NAMES
    exchange(encoder, encoder.hook_dict)
    output, cache = encoder.run_with_cache(ONES)
    assert [*cache] == NAMES
    assert {name: getattr(encoder.get_submodule(name), "name", None) for name in NAMES} == dict(
        zip(NAMES, NAMES, strict=True)
    )
    assert encoder.run_with_hooks(ONES, fwd_hooks=[("inner.hook_mid", double)]).equal(output * 2)


def test_hooks_stay_with_their_points(encoder):
    encoder.add_hook("hook_in", double)
    encoder.hook_in.ctx["kept"] = 1
    points = without_points(encoder)
    with pytest.warns(HooksLostWarning, match=r"1 hooks with them: .*double .* at 'hook_in'"):
        assert encoder(ONES).tolist() == [2.0, 2.0]
    assert encoder(ONES).tolist() == [2.0, 2.0]  # and said once
    assert [*encoder.list_hooks()] == ["hook_in"]
    exchange(encoder, encoder.hook_dict)
    assert encoder(ONES).tolist() == [3.0, 3.0]
    assert encoder.hook_dict == points
    assert encoder.hook_in.ctx == {"kept": 1}


def test_a_reset_reaches_points_that_are_out_of_the_model(encoder):
    encoder.add_hook("hook_in", double)
    without_points(encoder)
    with pytest.warns(HooksLostWarning):
        encoder.reset_hooks()
    exchange(encoder, encoder.hook_dict)
    assert encoder(ONES).tolist() == [2.0, 2.0]


def test_no_filter_means_a_point_that_is_out_of_the_model(encoder):
    out, encoder.hook_out = encoder.hook_out, nn.Identity()
    assert [*encoder.run_with_cache(ONES)[1]] == NAMES[:2]
    assert [*encoder.run_with_cache(ONES, names_filter=lambda name: True)[1]] == NAMES[:2]
    for names in ("hook_out", ["hook_in", "hook_out"]):
        with pytest.raises(NotAHookPoint, match="'hook_out' is a Identity"):
            encoder.run_with_cache(ONES, names_filter=names)
    with pytest.raises(NotAHookPoint, match="'hook_out' is a Identity"):
        encoder.add_hook("hook_out", double)
    encoder.hook_out = out
    assert [*encoder.run_with_cache(ONES, names_filter=["hook_in", "hook_out"])[1]] == ["hook_in", "hook_out"]


@pytest.mark.parametrize("names", [None, lambda name: True, lambda name: name == "hook_out"], ids=["all", "any", "one"])
def test_an_empty_cache_of_a_model_that_had_points_is_reported(encoder, names):
    without_points(encoder)
    with pytest.warns(HooksLostWarning, match="though it had some"):
        _, cache = encoder.run_with_cache(ONES, names_filter=names)
    assert cache == {}


@pytest.mark.parametrize("again", [True, False])
def test_it_is_reported_too_if_the_points_are_gone_for_good(encoder, again):
    encoder.inner, encoder.forward = nn.Identity(), lambda x: x
    del encoder.hook_in, encoder.hook_out
    if again:
        encoder.setup()
    with pytest.warns(HooksLostWarning, match="though it had some"):
        encoder.run_with_cache(ONES)
    assert encoder.hook_dict == {}
    with pytest.raises(UnknownHookPoint):
        encoder.add_hook("hook_in", double)


def test_a_model_that_never_had_points_says_nothing():
    class Bare(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.setup()

        def forward(self, x):
            return x

    assert Bare().run_with_cache(ONES)[1] == {}


def test_a_predicate_without_a_match_is_logged_as_ever(encoder, caplog):
    with caplog.at_level(logging.WARNING, "hookframe"):
        encoder.run_with_cache(ONES, names_filter=lambda name: False)
    assert "the predicate accepts" in caplog.text


def test_another_point_in_the_place_takes_the_name(encoder):
    new = HookPoint()
    encoder.hook_in = new
    assert encoder.run_with_cache(ONES)[1].keys() == {*NAMES}
    assert encoder.hook_dict["hook_in"] is new


def test_a_point_that_moves_to_another_name_has_that_name_alone(encoder):
    encoder.hook_late, encoder.hook_in = encoder.hook_in, nn.Identity()
    encoder(ONES)
    assert [*encoder.hook_dict] == ["inner.hook_mid", "hook_out", "hook_late"]


def test_setup_reads_the_tree_as_it_is(encoder):
    encoder.hook_in = nn.Identity()
    encoder.setup()
    assert [*encoder.hook_dict] == NAMES[1:]
