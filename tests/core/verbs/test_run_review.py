"""The review of a run: what it is told, and what a refusal does."""

from __future__ import annotations

import warnings

import pytest

import hookframe
from hookframe import HookDenied, Objection, hookimpl


class Judge:
    """Refuses, or warns of, runs; remembers what it was asked."""

    def __init__(self, make=Objection.deny):
        self.asked = []
        self.make = make

    @hookimpl
    def hookframe_check_run(self, request, model):
        self.asked.append(request)
        return self.make(request, rule="no-silence", message=f"{request.never_fired} never fired", remedy="look again")


def silent(tensor, hook):
    return None


def run(model, x, **options):
    return model.run_with_hooks(x, fwd_hooks=[("blocks.0.hook_mlp_in", silent)], **options)


def test_a_silent_hook_can_be_refused(model, x, tables):
    before, judge = tables(model), Judge()
    with hookframe.use_plugins(judge), pytest.raises(HookDenied, match="never fired") as refusal:
        run(model, x)
    assert tables(model) == before
    assert model.context_level == 0
    assert refusal.value.decision.denials[0].request == judge.asked[0]
    assert judge.asked[0].never_fired == ("blocks.0.hook_mlp_in",)
    assert judge.asked[0].route == "run_with_hooks"


def test_a_run_that_is_only_warned_of_has_its_result(model, x):
    with hookframe.use_plugins(Judge(Objection.warn)), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert run(model, x).shape == x.shape
    assert {w.category for w in caught} == {hookframe.HookObjectionWarning, hookframe.HookDidNotFireWarning}


def test_bytes_and_unmanaged_torch_hooks_are_told(model, x):
    model.blocks[1].linear.register_forward_hook(lambda module, args, output: None)
    judge = Judge(Objection.audit)
    with hookframe.use_plugins(judge):
        _, cache = model.run_with_cache(x)
    (request,) = judge.asked
    assert request.bytes_cached == sum(value.nbytes for value in cache.values())
    assert request.unmanaged == ("blocks.1.linear",)
    assert request.never_fired == ()  # what a filter swept up and did not fire is no failure


def test_what_hookframe_registers_and_hook_points_are_not_unmanaged(model, x):
    def managed(module, args, output):
        return None

    managed.hookframe_managed = True
    model.blocks[0].linear.register_forward_hook(managed)
    model.hook_embed.register_forward_hook(lambda module, args, output: None)
    judge = Judge(Objection.audit)
    with hookframe.use_plugins(judge):
        model.run_with_cache(x)
    assert judge.asked[0].unmanaged == ()


def test_nobody_is_asked_after_an_exception_or_without_a_run(model):
    judge = Judge()
    with hookframe.use_plugins(judge):
        with pytest.raises(TypeError):
            model.run_with_hooks("no tensor", fwd_hooks=[("hook_embed", lambda tensor, hook: tensor + 1)])
        with model.hooks(fwd_hooks=[("hook_embed", silent)]):
            pass
    assert judge.asked == []
