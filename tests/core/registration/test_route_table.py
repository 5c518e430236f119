"""Every public way in, against a validator that denies: refused, nothing attached, nothing changed."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import hookframe
from hookframe import HookDenied, HookPoint, Objection, hookimpl

POINT = "blocks.1.hook_resid_post"


class DenyAll:
    """Refuses every hook, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        self.asked += list(requests)
        return [
            Objection.deny(r, rule="no-hooks", message="hooks are off", remedy="ask the operator") for r in requests
        ]


def hook(tensor, hook):
    return None


def torch_hook(module, *args):
    return None


def _caching_hooks(model):
    _, fwd, bwd = model.get_caching_hooks(incl_bwd=True)
    with model.hooks(fwd_hooks=fwd, bwd_hooks=bwd):
        pass


def _enter(model, **hooks):
    with model.hooks(**hooks):
        pytest.fail("the context was entered")


def _x():
    return torch.zeros(1, 2, 8)


WAYS = {
    "root.add_hook by name": (lambda m: m.add_hook(POINT, hook), "add_hook"),
    "root.add_hook by predicate": (lambda m: m.add_hook(lambda name: "resid" in name, hook), "add_hook"),
    "root.add_hook by names": (lambda m: m.add_hook([POINT, "hook_embed"], hook), "add_hook"),
    "root.add_hook bwd": (lambda m: m.add_hook(POINT, hook, dir="bwd"), "add_hook"),
    "root.add_hook prepend": (lambda m: m.add_hook(POINT, hook, prepend=True), "add_hook"),
    "root.add_perma_hook": (lambda m: m.add_perma_hook(POINT, hook), "add_hook"),
    "root.add_perma_hook by predicate": (lambda m: m.add_perma_hook(lambda name: True, hook), "add_hook"),
    "root.check_and_add_hook": (lambda m: m.check_and_add_hook(m.hook_dict[POINT], POINT, hook), "add_hook"),
    "hooks fwd by name": (lambda m: _enter(m, fwd_hooks=[(POINT, hook)]), "hooks"),
    "hooks fwd by predicate": (lambda m: _enter(m, fwd_hooks=[(lambda name: True, hook)]), "hooks"),
    "hooks bwd": (lambda m: _enter(m, bwd_hooks=[(POINT, hook)]), "hooks"),
    "hooks kept": (lambda m: _enter(m, fwd_hooks=[(POINT, hook)], reset_hooks_end=False), "hooks"),
    "run_with_hooks fwd": (lambda m: m.run_with_hooks(_x(), fwd_hooks=[(POINT, hook)]), "run_with_hooks"),
    "run_with_hooks bwd": (
        lambda m: m.run_with_hooks(_x(), bwd_hooks=[(POINT, hook)], reset_hooks_end=False), "run_with_hooks"
    ),
    "run_with_cache all": (lambda m: m.run_with_cache(_x()), "run_with_cache"),
    "run_with_cache name": (lambda m: m.run_with_cache(_x(), names_filter=POINT), "run_with_cache"),
    "run_with_cache list": (lambda m: m.run_with_cache(_x(), names_filter=[POINT]), "run_with_cache"),
    "run_with_cache tuple": (lambda m: m.run_with_cache(_x(), names_filter=(POINT,)), "run_with_cache"),
    "run_with_cache set": (lambda m: m.run_with_cache(_x(), names_filter={POINT}), "run_with_cache"),
    "run_with_cache predicate": (lambda m: m.run_with_cache(_x(), names_filter=lambda n: True), "run_with_cache"),
    "run_with_cache incl_bwd": (lambda m: m.run_with_cache(_x(), incl_bwd=True), "run_with_cache"),
    "get_caching_hooks, then hooks": (_caching_hooks, "hooks"),
    "add_caching_hooks": (lambda m: m.add_caching_hooks(), "add_caching_hooks"),
    "add_caching_hooks incl_bwd": (lambda m: m.add_caching_hooks(POINT, incl_bwd=True), "add_caching_hooks"),
    "cache_all": (lambda m: m.cache_all({}), "add_caching_hooks"),
    "cache_some": (lambda m: m.cache_some({}, POINT), "add_caching_hooks"),
    "HookPoint.add_hook fwd": (lambda m: m.hook_dict[POINT].add_hook(hook), "hook_point"),
    "HookPoint.add_hook bwd": (lambda m: m.hook_dict[POINT].add_hook(hook, dir="bwd"), "hook_point"),
    "HookPoint.add_hook aliases": (lambda m: m.hook_dict[POINT].add_hook(hook, alias_names=["a"]), "hook_point"),
    "HookPoint.add_perma_hook": (lambda m: m.hook_dict[POINT].add_perma_hook(hook), "hook_point"),
    "a point without a model": (lambda m: HookPoint().add_hook(hook), "hook_point"),
    "_enable_hook by name": (lambda m: m._enable_hook(name=POINT, hook=hook, dir="fwd"), "hook_point"),
    "_enable_hook by predicate": (lambda m: m._enable_hook(name=lambda n: True, hook=hook, dir="bwd"), "hook_point"),
    "_enable_hook_with_name": (lambda m: m._enable_hook_with_name(name=POINT, hook=hook, dir="fwd"), "hook_point"),
    "_enable_hooks_for_points": (
        lambda m: m._enable_hooks_for_points(
            hook_points=m.hook_dict.items(), enabled=lambda n: True, hook=hook, dir="fwd"
        ),
        "hook_point",
    ),
    "register_forward_hook": (lambda m: m.hook_dict[POINT].register_forward_hook(torch_hook), "torch"),
    "register_forward_pre_hook": (lambda m: m.hook_dict[POINT].register_forward_pre_hook(torch_hook), "torch"),
    "register_full_backward_hook": (lambda m: m.hook_dict[POINT].register_full_backward_hook(torch_hook), "torch"),
    "register_full_backward_pre_hook": (
        lambda m: m.hook_dict[POINT].register_full_backward_pre_hook(torch_hook), "torch"
    ),
    "register_backward_hook": (lambda m: m.hook_dict[POINT].register_backward_hook(torch_hook), "torch"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_denying_validator_closes_every_way_in(way, model, tables):
    enter, route = WAYS[way]
    before, level = tables(model), model.context_level
    validator = DenyAll()
    with hookframe.use_plugins(validator), pytest.raises(HookDenied, match="hooks are off") as refusal:
        enter(model)
    assert {request.route for request in validator.asked} == {route}
    assert refusal.value.decision.denials
    assert tables(model) == before
    assert model.context_level == level
    assert not model.is_caching


def copied(model):
    return copy.deepcopy(model)


def unpickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("travel", [copied, unpickled])
def test_a_hook_that_travels_with_a_model_is_admitted_where_it_arrives(travel):
    model = _PicklableModel()
    model.add_perma_hook("hook_a", hook)
    validator = DenyAll()
    with hookframe.use_plugins(validator), pytest.raises(HookDenied, match="hooks are off"):
        travel(model)
    assert [(r.route, r.point) for r in validator.asked] == [("copy", "hook_a")]


@pytest.mark.parametrize("travel", [copied, unpickled])
def test_the_ways_into_a_copy_are_closed_as_well(travel, tables):
    other = travel(_PicklableModel())
    ways = {
        "by name": lambda: other.add_hook("hook_a", hook),
        "by the point": lambda: other.hook_a.add_hook(hook),
        "by torch": lambda: other.hook_a.register_forward_hook(torch_hook),
        "by a cache": lambda: other.run_with_cache(_x()),
    }
    before = tables(other)
    with hookframe.use_plugins(DenyAll()):
        for enter in ways.values():
            with pytest.raises(HookDenied, match="hooks are off"):
                enter()
    assert tables(other) == before


class _PicklableModel(hookframe.HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_a = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_a(x)


class DenyNamed:
    """Refuses hooks at a point by its name alone."""

    def __init__(self):
        self.asked = []

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        self.asked += [(request.point, request.route) for request in requests]
        return [
            Objection.deny(r, rule="not-here", message="not here", remedy="elsewhere")
            for r in requests
            if r.point == "hook_a"
        ]


def test_a_hook_that_was_there_before_its_point_had_a_name_is_asked_about_under_it():
    point = HookPoint()
    validator = DenyNamed()
    with hookframe.use_plugins(validator):
        handle = point.add_hook(hook)

        class Late(hookframe.HookedRootModule):
            def __init__(self):
                super().__init__()
                self.hook_a = point
                self.setup()

        with pytest.raises(HookDenied, match="bwd|fwd hook hook at 'hook_a': not here"):
            Late()
        assert validator.asked == [(None, "hook_point"), ("hook_a", "hook_point")]
        assert not point.has_hooks()
        handle.remove()  # does nothing more


def test_a_hook_that_was_there_before_and_is_allowed_stays():
    point = HookPoint()
    handle = point.add_hook(hook)
    model = _PicklableModel()
    model.hook_a = point
    validator = DenyNamed()
    model.hook_b = HookPoint()
    with hookframe.use_plugins(), hookframe.use_plugins():
        model.setup()
    assert [h.hook for h in model.hook_a.fwd_hooks] == [handle.hook]
    with hookframe.use_plugins(validator):
        model.setup()  # it has its name by now, and was asked about
    assert validator.asked == []
