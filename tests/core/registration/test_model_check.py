"""The model's own check_hooks_to_add: asked on every route, exact refusals raised as they are, swept-up points left out."""

from __future__ import annotations

import logging

import pytest

from hookframe import HookedRootModule, HookPoint

GATED = "blocks.1.hook_mlp_in"


def hook(tensor, hook):
    return None


EXACT = {
    "add_hook": lambda m, x: m.add_hook(GATED, hook),
    "add_hook names": lambda m, x: m.add_hook([GATED, "hook_embed"], hook),
    "add_perma_hook": lambda m, x: m.add_perma_hook(GATED, hook),
    "check_and_add_hook": lambda m, x: m.check_and_add_hook(m.hook_dict[GATED], GATED, hook),
    "hooks": lambda m, x: m.hooks(fwd_hooks=[(GATED, hook)]).__enter__(),
    "hooks bwd": lambda m, x: m.hooks(bwd_hooks=[(GATED, hook)]).__enter__(),
    "run_with_hooks": lambda m, x: m.run_with_hooks(x, fwd_hooks=[(GATED, hook)]),
    "run_with_cache": lambda m, x: m.run_with_cache(x, names_filter=GATED),
    "run_with_cache list": lambda m, x: m.run_with_cache(x, names_filter=[GATED]),
    "add_caching_hooks": lambda m, x: m.add_caching_hooks(GATED),
    "point": lambda m, x: m.hook_dict[GATED].add_hook(hook),
    "torch": lambda m, x: m.hook_dict[GATED].register_forward_hook(lambda *a: None),
    "_enable_hook": lambda m, x: m._enable_hook(name=GATED, hook=hook, dir="fwd"),
}


@pytest.mark.parametrize("way", EXACT)
def test_its_refusal_of_a_named_point_is_raised_as_it_is(way, gated_model, x, tables):
    before = tables(gated_model)
    with pytest.raises(AssertionError, match="while use_hook_mlp_in is off") as refusal:
        EXACT[way](gated_model, x)
    assert type(refusal.value) is AssertionError
    assert tables(gated_model) == before


@pytest.mark.parametrize("way", EXACT)
def test_it_lets_through_what_it_does_not_mind(way, gated_model, x):
    gated_model.cfg.use_hook_mlp_in = True
    EXACT[way](gated_model, x)


@pytest.mark.parametrize("names_filter", [None, lambda name: "mlp" in name], ids=["everything", "predicate"])
def test_a_point_that_a_cache_sweeps_up_is_left_out_and_listed(names_filter, gated_model, x, caplog):
    with caplog.at_level(logging.INFO, logger="hookframe"):
        _, cache = gated_model.run_with_cache(x, names_filter=names_filter)
    gated = [f"blocks.{layer}.hook_mlp_in" for layer in range(3)]
    assert list(cache.skipped) == gated
    assert "use_hook_mlp_in is off" in cache.skipped[gated[0]]
    assert "blocks.2.hook_mlp_out" in cache
    assert "left out 3 hook points" in caplog.text


def test_a_point_that_a_predicate_sweeps_up_is_left_out_of_add_hook(gated_model):
    handles = gated_model.add_hook(lambda name: name.startswith("blocks.1."), hook)
    assert len(handles) == 3
    assert not gated_model.hook_dict[GATED].fwd_hooks
    assert gated_model.hook_dict["blocks.1.hook_mlp_out"].fwd_hooks


@pytest.mark.parametrize("route", ["add_hook", "hooks"])
def test_a_predicate_of_which_nothing_is_left_raises_the_refusal(route, gated_model, tables):
    before = tables(gated_model)
    ways = {
        "add_hook": lambda: gated_model.add_hook(lambda name: name == GATED, hook),
        "hooks": lambda: gated_model.hooks(fwd_hooks=[(lambda name: name == GATED, hook)]).__enter__(),
    }
    with pytest.raises(AssertionError, match="while use_hook_mlp_in is off"):
        ways[route]()
    assert tables(gated_model) == before


def test_the_caching_idiom_with_get_caching_hooks_leaves_gated_points_out(gated_model, x):
    cache, fwd, bwd = gated_model.get_caching_hooks(incl_bwd=True)
    with gated_model.hooks(fwd_hooks=fwd, bwd_hooks=bwd):
        gated_model(x.requires_grad_()).sum().backward()
    assert GATED in cache.skipped
    assert "blocks.2.hook_resid_post_grad" in cache


def test_every_model_that_shares_a_point_is_asked(gated_model):
    class Outer(HookedRootModule):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.setup()

    outer = Outer(gated_model)
    with pytest.raises(AssertionError, match="cannot hook blocks.1.hook_mlp_in"):
        outer.add_hook(f"inner.{GATED}", hook)


def test_it_gets_the_arguments_it_has_always_had():
    asked = []

    class Model(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_a = HookPoint()
            self.setup()

        def check_hooks_to_add(self, hook_point, hook_point_name, hook, **options):
            asked.append((hook_point, hook_point_name, hook, options))

    model = Model()
    model.add_hook("hook_a", hook, dir="bwd", is_permanent=True, prepend=True, level=3)
    options = {"dir": "bwd", "is_permanent": True, "prepend": True}
    assert asked == [(model.hook_a, "hook_a", hook, options)]
