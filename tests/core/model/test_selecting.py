"""Globs where names are taken: what they mean, on each verb, and that an exact name always wins."""

from __future__ import annotations

import logging
import re
import sys
from fnmatch import fnmatchcase

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import hookframe
from hookframe import HookedRootModule, HookPoint, InvalidNamesFilter, UnknownHookPoint
from hookframe.capture.naming import names_of

X = torch.ones(1, 2, 8)
POSTS = [f"blocks.{i}.hook_resid_post" for i in range(3)]


def double(tensor, hook):
    return tensor * 2


def test_each_verb_takes_a_glob(model):
    _, cache = model.run_with_cache(X, names_filter="blocks.*.hook_resid_post")
    assert list(cache) == POSTS
    kept = model.add_caching_hooks("blocks.?.hook_resid_post")
    model(X)
    assert list(kept) == POSTS
    model.reset_hooks()
    expected = model.run_with_hooks(X, fwd_hooks=[(name, double) for name in POSTS])
    assert torch.equal(model.run_with_hooks(X, fwd_hooks=[("**.hook_resid_post", double)]), expected)
    with model.hooks(fwd_hooks=[("blocks.[0-2].hook_resid_post", double)]):
        assert torch.equal(model(X), expected)
    with model.hooks(bwd_hooks=[("blocks.*.hook_resid_post", lambda grad, hook: None)]):
        assert list(model.list_hooks("**")) == POSTS
        model(X.requires_grad_()).sum().backward()
    assert [name for name, _ in model.get_caching_hooks("blocks.*.hook_resid_post")[1]] == POSTS


def test_a_list_may_mix_names_and_globs_and_keeps_the_order_of_the_model(model):
    wanted = ["blocks.[12].hook_mlp_out", "hook_embed", "blocks.1.hook_mlp_out", "*.2.hook_mlp_out"]
    _, cache = model.run_with_cache(X, names_filter=wanted)
    assert list(cache) == ["hook_embed", "blocks.1.hook_mlp_out", "blocks.2.hook_mlp_out"]
    assert [s.exact for s in model.select_points(wanted)] == [True, True, False]


def test_add_hook_returns_the_handles_of_a_glob_also_if_it_matches_one_point(model):
    (handle,) = model.add_hook("hook_emb*", double)
    assert model.hook_embed.fwd_hooks == [handle]
    assert model.add_hook("hook_embed", double).user_hook is double
    assert len(model.add_hook("blocks.*.hook_mlp_out", double, is_permanent=True)) == 3


def test_a_glob_that_matches_nothing_is_a_mistake_and_no_log(model, caplog):
    near = r"no hook point that matches 'blocks\.\*\.hook_resid_pots': did you mean 'blocks\.\d\.hook_resid_post'"
    with caplog.at_level(logging.WARNING, "hookframe"):
        for names in ("blocks.*.hook_resid_pots", ["hook_embed", "blocks.*.hook_resid_pots"]):
            with pytest.raises(UnknownHookPoint, match=near):
                model.run_with_cache(X, names_filter=names)
        with pytest.raises(UnknownHookPoint, match=near), model.capture("blocks.*.hook_resid_pots"):
            pass
        with pytest.raises(UnknownHookPoint, match=near):
            model.add_hook("blocks.*.hook_resid_pots", double)
    assert model.list_hooks() == {}
    assert caplog.records == []


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [("*resid_post", "**.*resid_post"), ("blocks.*", "blocks.**"), ("blocks*out", "**.hook_out")],
)
def test_a_star_that_was_meant_to_go_across_dots_is_told_how(model, pattern, instead):
    says = r"stay within one part of a name, and \*\* stands for any number of parts: " + re.escape(repr(instead))
    with pytest.raises(UnknownHookPoint, match=says):
        model.run_with_cache(X, names_filter=pattern)


def test_points_that_a_glob_swept_up_are_left_out_where_the_model_refuses_them(gated_model):
    _, cache = gated_model.run_with_cache(X, names_filter="blocks.*.hook_mlp_*")
    assert list(cache) == [f"blocks.{i}.hook_mlp_out" for i in range(3)]
    assert list(cache.skipped) == [f"blocks.{i}.hook_mlp_in" for i in range(3)]
    with pytest.raises(AssertionError, match="cannot hook blocks.0.hook_mlp_in"):
        gated_model.run_with_cache(X, names_filter=["blocks.0.hook_mlp_in", "blocks.*.hook_mlp_out"])


class Odd(HookedRootModule):
    """A point whose own name is a glob, and one with two names."""

    def __init__(self):
        super().__init__()
        shared = HookPoint()
        self.parts = nn.ModuleDict({"a*": HookPoint(), "ab": HookPoint(), "s": shared, "t": shared})
        self.setup()

    def forward(self, x):
        for part in self.parts.values():
            x = part(x)
        return x


def test_an_exact_name_always_wins():
    odd = Odd()
    assert [tuple(s)[::2] for s in odd.select_points("parts.a*")] == [("parts.a*", True)]
    assert [s.name for s in odd.select_points("parts.a?")] == ["parts.a*", "parts.ab"]
    assert odd.add_hook("parts.a*", double).user_hook is double


def test_a_point_with_two_names_is_swept_up_once_and_asked_for_as_it_was_written():
    odd = Odd()
    assert [s.name for s in odd.select_points("parts.[st]")] == ["parts.s"]
    assert [tuple(s)[::2] for s in odd.select_points(["parts.[st]", "parts.t"])] == [("parts.t", True)]


def test_a_glob_is_read_anew_when_the_model_has_changed(model):
    assert len(model.select_points("blocks.*.hook_mlp_out")) == 3
    assert model.selection("blocks.*.hook_mlp_out") is model.selection("blocks.*.hook_mlp_out")
    model.blocks = model.blocks[:2]
    assert len(model.select_points("blocks.*.hook_mlp_out")) == 2


def test_a_model_that_was_never_set_up_has_no_globs():
    bare = HookedRootModule()
    bare.mod_dict = {"hook_a": HookPoint()}
    with pytest.raises(UnknownHookPoint, match=r"no hook point that matches 'hook_\*'"):
        bare.add_hook("hook_*", double)
    with pytest.raises(hookframe.NotSetUp, match="call self.setup"):
        bare.run_with_cache(X, names_filter="hook_*")


WRITTEN = [
    "hook_embed",
    "blocks.1.hook_resid_pre",
    "blocks.*.hook_mlp_out",
    "blocks.[!0].hook_*",
    "**.hook_resid_pre",
    "*",
]


@given(st.lists(st.sampled_from(WRITTEN), min_size=1))
def test_a_list_means_what_its_items_mean_together(written):
    names = list(MODEL.hook_dict)

    def fits(name, pattern):
        if pattern == "**.hook_resid_pre":
            return name.endswith(".hook_resid_pre")
        return name.count(".") == pattern.count(".") and fnmatchcase(name, pattern)

    expected = [name for name in names if any(fits(name, pattern) for pattern in written)]
    found = MODEL.select_points(written)
    assert [s.name for s in found] == expected
    assert [s.exact for s in found] == [s.name in written for s in found]
    assert [s.name for s in MODEL.select_points(tuple(reversed(written)))] == expected


class Small(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_embed = HookPoint()
        self.blocks = nn.ModuleList(nn.Module() for _ in range(3))
        for block in self.blocks:
            block.hook_resid_pre, block.hook_mlp_out = HookPoint(), HookPoint()
        self.setup()


MODEL = Small()


def test_a_predicate_that_accepts_nothing_is_logged_alone_and_a_glob_is_a_mistake(model, x, caplog):
    output, cache = model.run_with_cache(x, names_filter=lambda name: False)
    assert list(cache) == []
    with model.hooks([(lambda name: False, lambda tensor, hook: tensor * 2)]):
        assert torch.equal(model(x), output)
    assert [record.message for record in caplog.records if "that the predicate accepts" in record.message]
    with pytest.raises(hookframe.UnknownHookPoint, match="no hook point that matches"):
        model.run_with_cache(x, names_filter="nowhere.*")


def test_names_written_and_swept_up_in_one_list_are_not_taken_for_written_ones(model):
    written, mixed = POSTS, [POSTS[0], "[b]locks.1.hook_resid_post", POSTS[2]]
    for names, exact in ((written, True), (mixed, False), (written, True)):
        found = {one.name: one.exact for one in model.selection(names)}
        assert [*found.values()] == [True, exact, True]
        assert {one.name: one.exact for one in model.selection(names_of(model.selection(names)))} == found


def test_a_generator_is_no_filter_whatever_was_asked_before(model):
    model.selection(("hook_embed",))
    with pytest.raises(InvalidNamesFilter):
        model.selection(name for name in ("hook_embed",))


class Watching:
    """Asked about each hook."""

    def __init__(self):
        self.asked = 0

    @hookframe.hookimpl
    def hookframe_check_hooks_to_add(self, requests, model):
        self.asked += len(requests)


def steps_of(run):
    """How many lines of Python run, and how many functions of C are called."""
    counted = [0]

    def on_line(frame, event, argument):
        counted[0] += event == "line"
        return on_line

    def on_call(frame, event, argument):
        counted[0] += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    try:
        sys.settrace(on_line)
        sys.setprofile(on_call)
        run()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    return counted[0]


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("asked", [False, True], ids=["nobody is asked", "a validator"])
def test_half_of_all_names_takes_steps_in_proportion_to_their_number(again, asked):
    class Points(HookedRootModule):
        def __init__(self, count):
            super().__init__()
            self.points = nn.ModuleList([HookPoint() for _ in range(count)])
            self.setup()

        def forward(self, x):
            for point in self.points:
                x = point(x)
            return x

    found = []
    for count in (200, 2000):
        model, plugin = Points(count), Watching()
        names = [f"points.{index}" for index in range(0, count, 2)]
        with hookframe.use_plugins(*([plugin] if asked else [])):
            if again:
                model.run_with_cache(X, names_filter=names)
            found.append(steps_of(lambda m=model, n=names: m.run_with_cache(X, names_filter=n)))
        assert plugin.asked == (count // 2 * (1 + again) if asked else 0)
    assert found[0] > 0
    assert found[1] <= 11 * found[0]
