"""Hooks that never fire are not silence: a warning with what is known, and counts for every point."""

from __future__ import annotations

import warnings

import pytest

import hookframe
from hookframe import HookDidNotFireWarning, hookimpl

SILENT = "blocks.1.hook_mlp_in"


def hook(tensor, hook):
    return None


class Recorder:
    def __init__(self):
        self.runs = []

    @hookimpl
    def hookframe_run_finished(self, event):
        self.runs.append(event)


def test_run_with_hooks_warns_of_a_named_point_behind_a_gate(model, x):
    with pytest.warns(HookDidNotFireWarning, match=r"'blocks.1.hook_mlp_in' never fired.*cfg.use_hook_mlp_in is off"):
        model.run_with_hooks(x, fwd_hooks=[(SILENT, hook)])


def test_run_with_cache_warns_of_a_named_point(model, x):
    with pytest.warns(HookDidNotFireWarning, match="caching hook at 'blocks.1.hook_mlp_in' never fired"):
        _, cache = model.run_with_cache(x, names_filter=[SILENT, "hook_embed"])
    assert list(cache) == ["hook_embed"]


def test_the_warning_points_at_the_users_line(model, x):
    with pytest.warns(HookDidNotFireWarning) as caught:
        model.run_with_hooks(x, fwd_hooks=[(SILENT, hook)])
    assert caught[0].filename == __file__


def test_a_filter_that_sweeps_it_up_does_not_warn(model, x):
    model.run_with_cache(x)
    model.run_with_hooks(x, fwd_hooks=[(lambda name: True, hook)])


def test_a_block_in_which_the_model_did_not_run_does_not_warn(model):
    with model.hooks(fwd_hooks=[("hook_embed", hook)]):
        pass


def test_a_block_in_which_it_ran_warns(model, x):
    with pytest.warns(HookDidNotFireWarning, match="never fired"), model.hooks(fwd_hooks=[(SILENT, hook)]):
        model(x)


def test_a_hook_that_stays_is_missed_also_where_an_earlier_one_was_taken_off_alone(model, x):
    model.hook_dict[SILENT].add_perma_hook(hook)  # so the point is not idle
    for stays in (False, True):
        with pytest.warns(HookDidNotFireWarning, match="never fired"):
            model.run_with_hooks(x, fwd_hooks=[(SILENT, hook)], reset_hooks_end=not stays)


def test_an_error_is_not_buried_under_warnings(model, x):
    def fail(tensor, hook):
        raise LookupError("the user's own")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LookupError, match="the user's own"):
            model.run_with_hooks(x, fwd_hooks=[("hook_embed", fail), (SILENT, hook)])


@pytest.mark.parametrize(
    ("others", "known"),
    [
        (["blocks.2.hook_resid_post"], "hooks at later points did"),
        (["hook_embed"], "the last hook that did was at 'hook_embed'"),
        ([], "no other hook of this operation fired either"),
    ],
)
def test_it_says_what_the_other_hooks_show(others, known, model, x):
    del model.cfg.use_hook_mlp_in  # a flag that does not exist explains nothing
    model.cfg.use_hook_mlp_in = None  # off, and not a flag that is known to be
    with pytest.warns(HookDidNotFireWarning, match=known):
        model.run_with_hooks(x, fwd_hooks=[(name, hook) for name in [*others, SILENT]])


def test_a_gradient_that_nothing_requires_is_reported(model, x):
    with pytest.warns(HookDidNotFireWarning, match="no gradient reached it"):
        with model.hooks(bwd_hooks=[("hook_embed", hook)]):  # x requires no gradient, and nothing comes before
            model(x).sum().backward()


def test_a_backward_pass_that_may_still_come_is_waited_for(model, x):
    model.run_with_hooks(x.requires_grad_(), bwd_hooks=[("hook_embed", hook)], reset_hooks_end=False)


def test_run_finished_carries_counts_for_every_point(model, x):
    recorder = Recorder()
    with hookframe.use_plugins(recorder), model.hooks(fwd_hooks=[(lambda name: "blocks.1" in name, hook)]):
        model(x)
        model(x)
    (run,) = recorder.runs
    assert run.counts == {
        ("blocks.1.hook_resid_pre", "fwd"): 2,
        ("blocks.1.hook_mlp_in", "fwd"): 0,
        ("blocks.1.hook_mlp_out", "fwd"): 2,
        ("blocks.1.hook_resid_post", "fwd"): 2,
    }
    assert run.never_fired == (SILENT,)


def test_run_finished_says_how_much_was_cached(model, x):
    recorder = Recorder()
    with hookframe.use_plugins(recorder):
        _, cache = model.run_with_cache(x, names_filter="hook_embed")
    assert recorder.runs[0].bytes_cached == cache.nbytes == 2 * 5 * 8 * 4


@pytest.mark.found(
    "a hook that its owner took off by its handle was reported as one that never fired (the state machine)"
)
def test_a_hook_that_somebody_removed_meanwhile_is_no_silence(model, x):
    for keep in (False, True):
        with model.hooks(fwd_hooks=[("hook_embed", hook), (SILENT, hook)], reset_hooks_end=not keep):
            model.hook_dict[SILENT].fwd_hooks[-1].remove()
            model(x)
