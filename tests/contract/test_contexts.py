"""Temporary hooks: ``hooks`` and ``run_with_hooks``."""

from __future__ import annotations

import logging

import pytest
import torch

from hookframe import HookedRootModule


def nothing(tensor, hook):
    return None


def tenfold(tensor, hook):
    return tensor * 10


class Boom(Exception):
    """A user's own exception."""


def explode(tensor, hook):
    raise Boom("in the function")


# ---- hooks -----------------------------------------------------------------------------------------------------------


def test_signature_of_hooks(same_signature):
    expected = {"fwd_hooks": [], "bwd_hooks": [], "reset_hooks_end": True, "clear_contexts": False}
    same_signature(HookedRootModule.hooks, expected)


def test_hooks_attaches_when_it_is_entered_and_not_before(two):
    context = two.hooks(fwd_hooks=[("first", nothing)])
    assert two.list_hooks() == {}
    with context:
        assert list(two.list_hooks()) == ["first"]
        two(torch.ones(3))


def test_forward_hooks_of_a_context_run_inside_it_alone(two):
    with two.hooks(fwd_hooks=[("second", tenfold)]):
        assert two(torch.ones(3)).tolist() == [21, 41, 61]
    assert two(torch.ones(3)).tolist() == [3, 5, 7]


def test_backward_hooks_of_a_context_run_inside_it(two):
    with two.hooks(bwd_hooks=[("second", tenfold)]):
        two(torch.ones(3), loss=True).backward()
    assert two.weight.grad.tolist() == [20, 20, 20]


def test_a_context_takes_predicates_on_names(model, x):
    seen = []
    with model.hooks(fwd_hooks=[(lambda name: name.endswith("hook_z"), lambda tensor, hook: seen.append(hook.name))]):
        model(x)
    assert seen == ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z"]


def test_several_functions_at_one_point_run_in_the_order_given(two):
    with two.hooks(fwd_hooks=[("first", lambda t, hook: t + 1), ("first", lambda t, hook: t * 10)]):
        assert two(torch.zeros(3)).tolist() == [21, 21, 21]


def test_a_context_without_hooks_still_counts(two):
    with two.hooks():
        assert two.context_level == 1
    assert two.context_level == 0


def test_the_level_counts_nesting(two):
    with two.hooks(fwd_hooks=[("first", nothing)]):
        assert two.context_level == 1
        with two.hooks(fwd_hooks=[("first", nothing)]):
            assert two.context_level == 2
            assert [handle.context_level for handle in two.first.fwd_hooks] == [1, 2]
            two(torch.ones(3))
        assert two.context_level == 1
    assert two.context_level == 0


def test_on_exit_the_inner_hooks_go_and_the_outer_ones_stay(two):
    outer = []
    with two.hooks(fwd_hooks=[("first", lambda t, hook: outer.append(1))]):
        with two.hooks(fwd_hooks=[("first", tenfold)]):
            two(torch.ones(3))
        assert two(torch.ones(3)).tolist() == [3, 5, 7]
    assert outer == [1, 1]
    assert two.list_hooks() == {}


def test_on_exit_hooks_that_were_there_before_stay(two):
    before = two.add_hook("first", nothing)
    with two.hooks(fwd_hooks=[("first", nothing)]):
        two(torch.ones(3))
    assert two.first.fwd_hooks == [before]


@pytest.mark.parametrize("when", ["before", "inside"])
def test_on_exit_permanent_hooks_stay(two, when):
    permanent = two.add_perma_hook("first", nothing) if when == "before" else None
    with two.hooks(fwd_hooks=[("first", nothing)]):
        permanent = permanent or two.add_perma_hook("first", nothing)
        two(torch.ones(3))
    assert two.first.fwd_hooks == [permanent]


def test_after_an_exception_in_the_body_the_inner_hooks_go_and_the_outer_ones_stay(two):
    with two.hooks(fwd_hooks=[("first", nothing)]):
        with pytest.raises(Boom, match="body"), two.hooks(fwd_hooks=[("first", tenfold)]):
            raise Boom("body")
        assert two.context_level == 1
        assert [handle.user_hook for handle in two.first.fwd_hooks] == [nothing]
        two(torch.ones(3))
    assert two.context_level == 0
    assert two.list_hooks() == {}


def test_without_reset_at_the_end_the_hooks_stay(two):
    with two.hooks(fwd_hooks=[("second", tenfold)], reset_hooks_end=False):
        pass
    assert two.context_level == 0
    assert two(torch.ones(3)).tolist() == [21, 41, 61]
    two.reset_hooks()
    assert two.list_hooks() == {}


@pytest.mark.parametrize("clear", [True, False])
def test_contexts_are_cleared_on_exit_only_if_asked(two, clear):
    two.second.ctx["before"] = 1
    with two.hooks(fwd_hooks=[("first", lambda t, hook: hook.ctx.update(seen=1))], clear_contexts=clear):
        two(torch.ones(3))
        assert two.first.ctx == {"seen": 1}
    assert two.first.ctx == ({} if clear else {"seen": 1})
    assert two.second.ctx == ({} if clear else {"before": 1})


def test_another_kind_of_direction_cannot_be_mixed_in(two):
    with two.hooks(fwd_hooks=[("first", nothing)], bwd_hooks=[("second", nothing)]):
        assert (len(two.first.fwd_hooks), len(two.first.bwd_hooks)) == (1, 0)
        assert (len(two.second.fwd_hooks), len(two.second.bwd_hooks)) == (0, 1)
        two(torch.ones(3), loss=True).backward()


# ---- run_with_hooks --------------------------------------------------------------------------------------------------


def test_run_with_hooks_returns_the_output_and_takes_the_hooks_off(two):
    assert two.run_with_hooks(torch.ones(3), fwd_hooks=[("second", tenfold)]).tolist() == [21, 41, 61]
    assert two.list_hooks() == {}
    assert two.context_level == 0


def test_run_with_hooks_passes_arguments_on(two):
    assert two.run_with_hooks(x=torch.ones(3), loss=True).item() == 15
    assert two.run_with_hooks(torch.ones(3), True).item() == 15


def test_run_with_hooks_takes_predicates(two):
    output = two.run_with_hooks(torch.ones(3), fwd_hooks=[(lambda name: True, tenfold)])
    assert output.tolist() == [201, 401, 601]


def test_run_with_hooks_counts_as_a_context(two):
    levels = []
    two.run_with_hooks(torch.ones(3), fwd_hooks=[("first", lambda t, hook: levels.append(two.context_level))])
    assert levels == [1]


def test_run_with_hooks_takes_the_hooks_off_after_an_exception(two):
    kept = two.add_hook("second", nothing)
    with pytest.raises(Boom, match="in the function"):
        two.run_with_hooks(torch.ones(3), fwd_hooks=[("first", explode)])
    assert two.list_hooks() == {"second": [kept]}
    assert two.context_level == 0


def test_run_with_hooks_keeps_the_hooks_if_asked(two):
    two.run_with_hooks(torch.ones(3), fwd_hooks=[("second", tenfold)], reset_hooks_end=False)
    assert two(torch.ones(3)).tolist() == [21, 41, 61]


@pytest.mark.parametrize("clear", [True, False])
def test_run_with_hooks_clears_contexts_only_if_asked(two, clear):
    two.run_with_hooks(
        torch.ones(3), fwd_hooks=[("first", lambda t, hook: hook.ctx.update(seen=1))], clear_contexts=clear
    )
    assert two.first.ctx == ({} if clear else {"seen": 1})


def test_backward_hooks_of_run_with_hooks_fire_afterwards(two):
    seen = []
    loss = two.run_with_hooks(torch.ones(3), loss=True, bwd_hooks=[("first", lambda g, hook: seen.append(1))])
    loss.backward()
    assert seen == [1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"fwd_hooks": [("first", nothing)]},
        {"bwd_hooks": [("first", nothing)]},
        {"bwd_hooks": [("first", nothing)], "reset_hooks_end": False},
    ],
    ids=["forward", "backward", "backward kept"],
)
def test_run_with_hooks_logs_no_warning(two, caplog, arguments):
    with caplog.at_level(logging.WARNING):
        loss = two.run_with_hooks(torch.ones(3), loss=True, **arguments)
    assert caplog.records == []
    loss.backward()


def test_backward_hooks_that_are_kept_fire_in_the_backward_pass_after_the_run(two):
    loss = two.run_with_hooks(torch.ones(3), loss=True, bwd_hooks=[("second", tenfold)], reset_hooks_end=False)
    loss.backward()
    assert two.weight.grad.tolist() == [20, 20, 20]


def test_run_with_hooks_calls_the_model_and_not_its_forward(two):
    calls = []
    two.register_forward_pre_hook(lambda module, args: calls.append("before"))
    two.register_forward_hook(lambda module, args, output: calls.append("after"))
    two.run_with_hooks(torch.ones(3), fwd_hooks=[("first", nothing)])
    assert calls == ["before", "after"]
