"""What observers are told over a hook's life, in which order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

import hookframe
from hookframe import HookedRootModule, HookPoint, hookimpl, hookspecs
from hookframe.admission.request import LazyRequests

POINT = "blocks.1.hook_mlp_out"


def recorder():
    """A plugin with every observer spec, and the list it fills."""
    told = []

    def observer(name):
        @hookimpl(specname=f"hookframe_{name}")
        def observe(event):
            told.append((name, event))

        return observe

    class Recorder:
        pass

    plugin = Recorder()
    for name in hookspecs.OBSERVERS:
        if name != "decision_made":
            setattr(plugin, f"hookframe_{name}", observer(name))
    return plugin, told


def hook(tensor, hook):
    return None


@pytest.fixture
def told():
    plugin, told = recorder()
    with hookframe.use_plugins(plugin):
        yield told


def names(told):
    return [name for name, _ in told]


def test_a_block_tells_its_life_in_order(model, x, told):
    with model.hooks(fwd_hooks=[(POINT, hook)]):
        model(x)
    assert names(told) == ["hooks_added", "context_entered", "hooks_removed", "context_exited", "run_finished"]
    added, entered, removed, exited, finished = (event for _, event in told)
    assert added.operation == entered.operation == exited.operation == finished.operation
    assert [request.point for request in added.requests] == [POINT]
    assert (entered.level, entered.hooks, exited.removed, removed.points) == (1, 1, 1, (POINT,))
    assert exited.error is None
    assert {event.model for event in (added, entered, removed, exited, finished)} == {"Model"}


def test_a_cached_run_tells_what_was_cached(model, x, told):
    _, cache = model.run_with_cache(x, names_filter=["hook_embed", POINT])
    assert names(told) == [
        "hooks_added", "cache_started", "context_entered", "hooks_removed", "context_exited", "cache_finished",
        "run_finished",
    ]  # fmt: skip
    events = dict(told)
    assert events["cache_started"].points == ("hook_embed", POINT)
    assert events["cache_started"].device == "cpu"
    assert events["cache_finished"].stored == ("hook_embed", POINT)
    assert events["cache_finished"].bytes_cached == cache.nbytes
    assert events["cache_started"].operation == events["cache_finished"].operation


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_failing_run_tells_its_error_and_which_hook_failed(model, x, told):
    def fail(tensor, hook):
        raise LookupError("no such feature")

    with pytest.raises(LookupError, match="no such feature") as raised:
        model.run_with_hooks(x, fwd_hooks=[(POINT, fail)])
    events = dict(told)
    assert (events["hook_failed"].point, events["hook_failed"].error) == (POINT, "LookupError")
    assert events["hook_failed"].message == "no such feature"
    assert events["context_exited"].error == events["run_finished"].error == "LookupError"
    assert names(told).count("hook_failed") == 1
    assert any(f"hook point {POINT!r}" in note for note in raised.value.__notes__)


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_hook_that_fails_outside_of_any_block_is_told_as_well(model, x, told):
    def fail(tensor, hook):
        raise LookupError("no such feature")

    model.add_hook(POINT, fail)
    with pytest.raises(LookupError, match="no such feature"):
        model(x)
    assert names(told) == ["hooks_added", "hook_failed"]


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_backward_hook_that_fails_is_told_when_its_block_ends(model, x, told):
    def fail(gradient, hook):
        raise LookupError("no gradient wanted")

    with pytest.raises(LookupError, match="no gradient wanted"), model.hooks(bwd_hooks=[(POINT, fail)]):
        model(x).sum().backward()
    assert dict(told)["hook_failed"].direction == "bwd"


def test_no_observer_is_called_while_the_model_runs(model, x):
    running, told_while_running = [], []

    class Watcher:
        @hookimpl
        def hookframe_hook_failed(self, event):
            told_while_running.extend(running)

        @hookimpl
        def hookframe_hooks_added(self, event):
            told_while_running.extend(running)

    def fail(tensor, hook):
        running.append("forward")
        try:
            raise LookupError("inside")
        finally:
            running.pop()

    with hookframe.use_plugins(Watcher()), pytest.raises(LookupError, match="inside"):
        model.run_with_hooks(x, fwd_hooks=[(POINT, fail)])
    assert told_while_running == []


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_hook_that_fails_in_a_model_inside_another_is_told_once_the_outer_one_has_ended():
    running, seen = [], []

    class Inner(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.point = HookPoint()
            self.setup()

        def forward(self, x):
            return self.point(x)

    class Outer(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.inner = Inner()
            self.setup()

        def forward(self, x):
            running.append("outer")
            try:
                return self.inner(x)
            finally:
                running.pop()

    class Watcher:
        @hookimpl
        def hookframe_hook_failed(self, event):
            seen.append((event.point, [*running]))

    def fail(tensor, hook):
        raise LookupError("inside")

    with hookframe.use_plugins(Watcher()):
        outer = Outer()
        outer.add_hook("inner.point", fail)
        with pytest.raises(LookupError, match="inside"):
            outer(torch.ones(1))
    assert seen == [("inner.point", [])]


def test_removing_by_handle_and_by_point_is_told(model, told):
    model.add_hook(POINT, hook).remove()
    model.add_hook(POINT, hook)
    model.hook_dict[POINT].remove_hooks()
    assert [(n, e.route) for n, e in told if n == "hooks_removed"] == [
        ("hooks_removed", "handle"), ("hooks_removed", "remove_hooks")
    ]  # fmt: skip


def test_a_reset_is_told_once_with_its_count(model, told):
    model.add_hook(lambda name: "resid" in name, hook)
    model.reset_hooks()
    assert names(told) == ["hooks_added", "hooks_reset"]
    assert told[1][1].removed == 6


def test_removing_twice_is_told_once(model, told):
    handle = model.add_hook(POINT, hook)
    handle.remove()
    handle.remove()
    assert names(told) == ["hooks_added", "hooks_removed"]


def test_a_torch_hook_is_told_as_added(model, told):
    model.hook_dict[POINT].register_forward_hook(lambda *args: None)
    assert [(n, e.route) for n, e in told] == [("hooks_added", "torch")]


def test_events_hold_no_tensor_and_no_function(model, x, told):
    model.run_with_cache(x)
    with model.hooks(fwd_hooks=[(POINT, hook)]):
        model(x)

    def values(value):
        if isinstance(value, LazyRequests):
            for item in value:
                yield from values(item)
        elif hasattr(value, "__dataclass_fields__"):
            for field in value.__dataclass_fields__:
                yield from values(getattr(value, field))
        elif isinstance(value, dict):
            for pair in value.items():
                yield from values(pair)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            for item in value:
                yield from values(item)
        else:
            yield value

    kinds = {type(value) for _, event in told for value in values(event)}
    assert kinds <= {str, int, bool, type(None)}, kinds
    assert not any(isinstance(value, torch.Tensor) for _, event in told for value in values(event))


def test_what_a_validator_sees_says_how_the_hook_will_be(model):
    seen = []

    class Look:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests, model):
            seen.extend(requests)
            seen.append(model)

    with hookframe.use_plugins(Look()):
        model.hook_dict[POINT].add_hook(hook, "bwd", is_permanent=True, level=4, prepend=True, alias_names=["a", "b"])
    request, owner = seen
    assert owner is model
    assert (request.point, request.direction, request.route) == (POINT, "bwd", "hook_point")
    assert (request.permanent, request.level, request.prepend, request.aliases) == (True, 4, True, ("a", "b"))
    assert request.exact
    assert request.function.qualname == "hook"
    assert request.function.file == __file__


def test_a_reset_of_protected_hooks_is_reviewed(model):
    class Keep:
        @hookimpl
        def hookframe_check_reset(self, request):
            return hookframe.Objection.deny(request, rule="keep", message="these stay", remedy="use the handle")

    model.add_perma_hook(POINT, hook)
    model.add_hook("hook_embed", hook)
    with hookframe.use_plugins(Keep()):
        model.reset_hooks()  # touches nothing that is protected
        assert not model.hook_embed.fwd_hooks
        with model.hooks(fwd_hooks=[("hook_embed", hook)]):
            for removal in (
                lambda: model.reset_hooks(),
                lambda: model.remove_all_hook_fns(including_permanent=True),
                lambda: model.hook_dict[POINT].remove_hooks(including_permanent=True),
            ):
                with pytest.raises(hookframe.HookDenied, match="these stay"):
                    removal()
            assert model.hook_embed.fwd_hooks
            assert model.hook_dict[POINT].fwd_hooks
        assert not model.hook_embed.fwd_hooks  # the end of a context removes what is its own


def test_a_torch_hook_is_not_put_to_wrappers(model):
    class Wrapper:
        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            raise AssertionError("torch calls its hooks with other arguments")

    with hookframe.use_plugins(Wrapper()):
        model.hook_dict[POINT].register_forward_hook(lambda *args: None)
