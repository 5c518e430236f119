"""The table of what is unsafe in that API and safe here, row by row."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch

from hookframe import (
    HookDenied,
    HookDidNotFireWarning,
    HookedRootModule,
    HookHandle,
    HookPoint,
    Objection,
    StaleActivationWarning,
    UnknownHookPoint,
    hookimpl,
    use_plugins,
)


def nothing(tensor, hook):
    return None


def torch_style(*args):
    return None


X = torch.ones(3)

ENTRANCES = {
    "add_hook": lambda m: m.add_hook("second", nothing),
    "add_hook by predicate": lambda m: m.add_hook(lambda name: True, nothing),
    "add_perma_hook": lambda m: m.add_perma_hook("second", nothing),
    "check_and_add_hook": lambda m: m.check_and_add_hook(m.second, "second", nothing),
    "hooks": lambda m: m.hooks(fwd_hooks=[("first", nothing), ("second", nothing)]).__enter__(),
    "hooks backward": lambda m: m.hooks(fwd_hooks=[("first", nothing)], bwd_hooks=[("second", nothing)]).__enter__(),
    "run_with_hooks": lambda m: m.run_with_hooks(X, fwd_hooks=[("first", nothing), ("second", nothing)]),
    "run_with_cache": lambda m: m.run_with_cache(X, names_filter=["first", "second"]),
    "add_caching_hooks": lambda m: m.add_caching_hooks(["first", "second"]),
    "get_caching_hooks, then hooks": lambda m: m.hooks(m.get_caching_hooks(["first", "second"])[1]).__enter__(),
    "cache_all": lambda m: m.cache_all({}),
    "cache_some": lambda m: m.cache_some({}, ["first", "second"]),
    "_enable_hook_with_name": lambda m: m._enable_hook_with_name(name="second", hook=nothing, dir="fwd"),
    "_enable_hooks_for_points": lambda m: m._enable_hooks_for_points(
        hook_points=list(m.hook_dict.items())[1:], enabled=lambda name: True, hook=nothing, dir="fwd"
    ),
    "_enable_hook": lambda m: m._enable_hook(name="second", hook=nothing, dir="fwd"),
    "HookPoint.add_hook": lambda m: m.second.add_hook(nothing),
    "HookPoint.add_hook backward": lambda m: m.second.add_hook(nothing, "bwd"),
    "HookPoint.add_hook with aliases": lambda m: m.second.add_hook(nothing, alias_names=["alias"]),
    "HookPoint.add_perma_hook": lambda m: m.second.add_perma_hook(nothing),
    "register_forward_hook": lambda m: m.second.register_forward_hook(torch_style),
    "register_forward_pre_hook": lambda m: m.second.register_forward_pre_hook(torch_style),
    "register_full_backward_hook": lambda m: m.second.register_full_backward_hook(torch_style),
    "register_full_backward_pre_hook": lambda m: m.second.register_full_backward_pre_hook(torch_style),
    "register_backward_hook": lambda m: m.second.register_backward_hook(torch_style),
}
by_every_entrance = pytest.mark.parametrize("enter", ENTRANCES.values(), ids=ENTRANCES)
SWEEPS = {"add_hook by predicate", "cache_all"}
by_every_exact_entrance = pytest.mark.parametrize(
    "enter",
    [enter for name, enter in ENTRANCES.items() if name not in SWEEPS],
    ids=[n for n in ENTRANCES if n not in SWEEPS],
)

TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def has_anything(model):
    return bool(model.list_hooks()) or any(getattr(p, t) for p in model.hook_points() for t in TABLES)


class NoSecond:
    """Denies hooks at the point called ``second``."""

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return [
            Objection.deny(request, rule="no-second", message="closed", remedy="use another point")
            for request in requests
            if request.point == "second"
        ]


# ---- one admission ---------------------------------------------------------------------------------------------------


@by_every_entrance
def test_every_way_in_passes_the_plugins_and_all_or_none_is_attached(two, enter):
    with use_plugins(NoSecond()), pytest.raises(HookDenied, match="no-second"):
        enter(two)
    assert not has_anything(two)
    assert two.context_level == 0
    assert two.is_caching is False


@by_every_exact_entrance
def test_every_way_in_passes_the_models_own_check_and_all_or_none_is_attached(make, enter):
    class Refusing(make["two"]):
        def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
            assert hook_point_name != "second", "closed by the model"

    model = Refusing()
    with pytest.raises(AssertionError, match="closed by the model"):
        enter(model)
    assert not has_anything(model)
    assert model.context_level == 0


@by_every_entrance
def test_every_way_in_asks_once_with_the_whole_batch(two, enter):
    batches = []

    class Watching:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            batches.append([request.point for request in requests])

    with use_plugins(Watching()):
        enter(two)
    assert batches in ([["second"]], [["first", "second"]])


def test_a_batch_is_admitted_as_a_whole_across_directions(two):
    batches = []

    class Watching:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            batches.append([(request.point, request.direction) for request in requests])

    with use_plugins(Watching()):
        two.run_with_cache(X, loss=True, incl_bwd=True)
    [batch] = batches
    assert sorted(batch) == [("first", "bwd"), ("first", "fwd"), ("second", "bwd"), ("second", "fwd")]


def test_a_predicate_whose_third_match_is_refused_attaches_nothing(model):
    class NoThird:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return Objection.deny(requests[2], rule="no-third", message="the third", remedy="take two")

    with use_plugins(NoThird()), pytest.raises(HookDenied, match="no-third"):
        model.add_hook(lambda name: name.endswith("hook_resid_post") or "attn" in name, nothing)
    assert model.list_hooks() == {}


# ---- ways to extend --------------------------------------------------------------------------------------------------


def test_the_override_refuses(picky):
    with pytest.raises(AssertionError, match="use_attn_result"):
        picky.add_hook("blocks.0.attn.hook_result", nothing)


def test_a_plugin_refuses(model):
    with use_plugins(NoSecond()), pytest.raises(HookDenied, match="closed"):
        HookedRootModule.add_hook(renamed(model), "second", nothing)


def renamed(model):
    model.second = HookPoint()
    model.setup()
    return model


# ---- skipping --------------------------------------------------------------------------------------------------------

REFUSED = ("blocks.0.attn.hook_result", "blocks.1.attn.hook_result")


@pytest.mark.parametrize("names_filter", [None, lambda name: True], ids=["everything", "predicate"])
def test_a_point_that_was_only_swept_up_is_skipped_and_reported(picky, x, ran, names_filter, caplog):
    with caplog.at_level(logging.DEBUG):
        _, cache = picky.run_with_cache(x, names_filter=names_filter)
    assert list(cache) == ran
    assert tuple(cache.skipped) == REFUSED
    assert all("use_attn_result" in reason for reason in cache.skipped.values())
    assert all(name in caplog.text for name in REFUSED)


def test_add_caching_hooks_skips_too(picky, x, ran):
    cache = picky.add_caching_hooks()
    assert tuple(cache.skipped) == REFUSED
    picky(x)
    assert list(cache) == ran


def test_a_hook_by_predicate_skips_and_reports_too(picky, x, caplog):
    with caplog.at_level(logging.DEBUG), picky.hooks(fwd_hooks=[(lambda name: "attn" in name, nothing)]):
        attached = list(picky.list_hooks())
        picky(x)
    assert "blocks.0.attn.hook_z" in attached
    assert not set(attached) & set(REFUSED)
    assert all(name in caplog.text for name in REFUSED)


def test_nothing_is_skipped_when_nothing_is_refused(model, x):
    assert dict(model.run_with_cache(x)[1].skipped) == {}


@pytest.mark.parametrize(
    "names_filter", [REFUSED[0], [REFUSED[0]], ["hook_embed", REFUSED[0]]], ids=["name", "list", "two"]
)
def test_a_refused_point_that_was_asked_for_by_its_exact_name_raises(picky, x, names_filter):
    with pytest.raises(AssertionError, match="use_attn_result"):
        picky.run_with_cache(x, names_filter=names_filter)
    assert picky.list_hooks() == {}


# ---- names that are not there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names_filter", ["blocks.0.attn.hook_qq", ["hook_embed", "blocks.0.attn.hook_qq"]], ids=["name", "list"]
)
@pytest.mark.parametrize("verb", ["run_with_cache", "get_caching_hooks", "add_caching_hooks"])
def test_a_misspelt_name_raises_with_near_misses(model, x, verb, names_filter):
    arguments = (x,) if verb == "run_with_cache" else ()
    with pytest.raises(UnknownHookPoint, match=r"'blocks\.0\.attn\.hook_qq'.*'blocks\.0\.attn\.hook_q'"):
        getattr(model, verb)(*arguments, names_filter=names_filter)
    assert model.list_hooks() == {}


@pytest.mark.parametrize(
    "use",
    [
        lambda model, x, name: model.add_hook(name, nothing),
        lambda model, x, name: model.add_perma_hook(name, nothing),
        lambda model, x, name: model.hooks(fwd_hooks=[(name, nothing)]).__enter__(),
        lambda model, x, name: model.hooks(bwd_hooks=[(name, nothing)]).__enter__(),
        lambda model, x, name: model.run_with_hooks(x, fwd_hooks=[(name, nothing)]),
    ],
    ids=["add_hook", "add_perma_hook", "hooks", "backward hooks", "run_with_hooks"],
)
def test_a_misspelt_name_of_a_hook_raises_with_near_misses(model, x, use):
    with pytest.raises(UnknownHookPoint, match=r"'hook_embde'.*'hook_embed'"):
        use(model, x, "hook_embde")
    assert model.list_hooks() == {}


def test_the_error_for_an_unknown_point_is_a_key_error_and_a_value_error():
    assert issubclass(UnknownHookPoint, KeyError)
    assert issubclass(UnknownHookPoint, ValueError)


# ---- hooks that never fire -------------------------------------------------------------------------------------------


def run_inside_hooks(model, x, hooks):
    with model.hooks(fwd_hooks=hooks):
        model(x)


def run_with_hooks(model, x, hooks):
    model.run_with_hooks(x, fwd_hooks=hooks)


@pytest.mark.parametrize("run", [run_inside_hooks, run_with_hooks])
def test_a_hook_that_never_fires_is_reported_with_its_point(model, x, run):
    hooks = [("hook_embed", nothing), ("blocks.1.attn.hook_result", nothing)]
    with pytest.warns(HookDidNotFireWarning, match=r"'blocks\.1\.attn\.hook_result'") as caught:
        run(model, x, hooks)
    assert len(caught) == 1


def test_caching_a_point_that_never_fires_is_reported(model, x):
    with pytest.warns(HookDidNotFireWarning, match=r"'blocks\.0\.attn\.hook_result'"):
        _, cache = model.run_with_cache(x, names_filter=["hook_embed", "blocks.0.attn.hook_result"])
    assert list(cache) == ["hook_embed"]


def test_the_report_says_what_is_known(model, x):
    with pytest.warns(HookDidNotFireWarning, match="use_attn_result"):
        model.run_with_hooks(x, fwd_hooks=[("blocks.0.attn.hook_result", nothing)])


def test_points_that_a_filter_swept_up_may_stay_silent(model, x, recwarn):
    model.run_with_cache(x)
    model.run_with_hooks(x, fwd_hooks=[(lambda name: True, nothing)])
    assert not recwarn.list


def test_a_run_that_failed_is_not_reported_as_silence(two, recwarn):
    with pytest.raises(RuntimeError, match="size"):
        two.run_with_hooks(torch.ones(4), fwd_hooks=[("first", nothing)])
    assert not recwarn.list


def test_the_report_points_at_the_users_line(model, x):
    with pytest.warns(HookDidNotFireWarning, match="hook_result") as caught:
        model.run_with_hooks(x, fwd_hooks=[("blocks.0.attn.hook_result", nothing)])
    assert caught[0].filename == __file__


# ---- values that change after they were cached -----------------------------------------------------------------------


class InPlace(HookedRootModule):
    """Goes on working in place on an activation after its point."""

    def __init__(self):
        super().__init__()
        self.before, self.after = HookPoint(), HookPoint()
        self.setup()

    def forward(self, x):
        y = self.before(x * 1)
        y += 100
        return self.after(y.clone())


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_a_cached_tensor_that_is_changed_in_place_is_detected(mode):
    with mode(), pytest.warns(StaleActivationWarning, match="'before'"):
        _, cache = InPlace().run_with_cache(torch.ones(2))
    assert tuple(cache.stale) == ("before",)


def test_a_gradient_graph_does_not_hide_the_change():
    x = torch.ones(2, requires_grad=True)
    with pytest.warns(StaleActivationWarning, match="'before'"):
        InPlace().run_with_cache(x)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_clone_auto_keeps_the_value_at_fire_time(mode, requires_grad):
    x = torch.ones(2, requires_grad=requires_grad)
    with mode():
        output, cache = InPlace().run_with_cache(x, clone="auto")
    assert cache["before"].tolist() == [1, 1]
    assert cache["after"].tolist() == output.tolist() == [101, 101]
    assert tuple(cache.stale) == ()


def test_clone_auto_leaves_the_gradient_right():
    x = torch.ones(2, requires_grad=True)
    output, _ = InPlace().run_with_cache(x, clone="auto")
    output.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_a_hook_function_that_edits_in_place_after_the_cache_is_detected(two):
    def double(tensor, hook):
        tensor.mul_(2)

    cache, forward, _ = two.get_caching_hooks("first")
    with pytest.warns(StaleActivationWarning, match="'first'"), two.hooks([*forward, ("first", double)]):
        two(X)
    assert list(cache) == ["first"]


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    "options",
    [{}, {"pos_slice": (0, 2)}, {"pos_slice": 1}, {"remove_batch_dim": True}, {"device": "cpu"}, {"clone": "always"}],
    ids=str,
)
def test_a_cached_value_is_that_at_fire_time_or_reported(mode, options):
    with warnings.catch_warnings(record=True) as caught, mode():
        warnings.simplefilter("always")
        _, cache = InPlace().run_with_cache(torch.ones(1, 3, 4), **options)
    reported = [warning.category for warning in caught] == [StaleActivationWarning]
    assert reported or bool((cache["before"] == 1).all())
    assert tuple(cache.stale) == (("before",) if reported else ())


def test_hooks_from_get_caching_hooks_report_changes_too():
    model = InPlace()
    cache, forward, _ = model.get_caching_hooks()
    with pytest.warns(StaleActivationWarning, match="'before'"), model.hooks(forward):
        model(torch.ones(2))
    assert tuple(cache.stale) == ("before",)


def test_caching_hooks_that_stay_keep_the_value_at_fire_time():
    model = InPlace()
    cache = model.add_caching_hooks()
    model(torch.ones(2))
    assert cache["before"].tolist() == [1, 1]


def test_a_cached_gradient_that_is_changed_in_place_is_detected_or_kept(two):
    def halve(gradient, hook):
        gradient.mul_(0.5)

    cache, forward, backward = two.get_caching_hooks("first", incl_bwd=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with two.hooks(forward, [*backward, ("first", halve)]):
            two(X, loss=True).backward()
    reported = [warning.category for warning in caught] == [StaleActivationWarning]
    assert reported or cache["first_grad"].tolist() == [2, 2, 2]
    assert two.weight.grad.tolist() == [1, 1, 1]


def test_a_cached_gradient_is_not_changed_by_the_next_backward_pass():
    model, x = InPlace(), torch.ones(2, requires_grad=True)
    cache, forward, backward = model.get_caching_hooks("after", incl_bwd=True)
    with model.hooks(forward, backward):
        model(x).sum().backward()
    model(x).sum().backward()
    assert cache["after_grad"].tolist() == [1, 1]
    assert x.grad.tolist() == [2, 2]


def test_a_cache_of_a_model_that_does_nothing_in_place_is_not_stale(model, x):
    assert tuple(model.run_with_cache(x)[1].stale) == ()


# ---- handles ---------------------------------------------------------------------------------------------------------


def test_add_hook_returns_handles(two):
    handles = [
        two.add_hook("first", nothing),
        two.add_perma_hook("first", nothing),
        two.check_and_add_hook(two.first, "first", nothing),
        two.first.add_hook(nothing),
        two.first.add_perma_hook(nothing),
        *two.add_hook(lambda name: name == "first", nothing),
        *two.add_perma_hook(lambda name: name == "first", nothing),
    ]
    assert all(isinstance(handle, HookHandle) for handle in handles)
    assert [handle is listed for handle, listed in zip(handles, two.first.fwd_hooks, strict=True)] == [True] * 7
    for handle in handles:
        handle.hook.remove()
    assert two.list_hooks() == {}
