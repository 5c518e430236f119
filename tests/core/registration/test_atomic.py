"""A batch is attached whole or not at all: whatever refuses or fails, at whichever place in the batch."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest

import hookframe
from hookframe import HookDenied, HookPoint, Objection, hookimpl
from hookframe.core.hooks.steps import attachments_in
from hookframe.core.registration import attach

POINTS = ["hook_embed", "blocks.0.hook_resid_pre", "blocks.1.hook_resid_post", "blocks.2.hook_mlp_out"]


def hook(tensor, hook):
    return None


class DenyAt:
    def __init__(self, place):
        self.place = place

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        bad = requests[self.place]
        return Objection.deny(bad, rule="one-of-many", message="not this one", remedy="choose another")


BATCHES = {
    "add_hook": lambda m, f: m.add_hook(POINTS, f),
    "hooks": lambda m, f: m.hooks(fwd_hooks=[(p, f) for p in POINTS[:2]], bwd_hooks=[(p, f) for p in POINTS[2:]]).__enter__(),
    "run_with_cache": lambda m, f: m.run_with_cache(None, names_filter=POINTS),
    "add_caching_hooks": lambda m, f: m.add_caching_hooks(POINTS),
}  # fmt: skip


@pytest.mark.parametrize("place", range(len(POINTS)))
@pytest.mark.parametrize("batch", BATCHES)
def test_a_denial_of_one_request_refuses_all(batch, place, model, tables):
    before = tables(model)
    with hookframe.use_plugins(DenyAt(place)), pytest.raises(HookDenied, match="not this one") as refusal:
        BATCHES[batch](model, hook)
    assert [objection.request.index for objection in refusal.value.decision.denials] == [place]
    assert tables(model) == before
    assert model.context_level == 0


class Faulty:
    """A cell at which writing what the point runs fails."""

    def __init__(self, error):
        self.error = error

    @property
    def plan(self):
        raise self.error("injected")


@pytest.fixture
def fault(monkeypatch):
    """Lets attaching fail at a place in the batch; ``fault.at_once`` and ``fault.one_by_one`` are attached by then."""
    add, put = HookPoint.add_attachment, attach.put
    found = SimpleNamespace(at_once=[], one_by_one=[])

    def let_fail(place, error):
        def faulty_add(point, attachment):
            if len(found.one_by_one) == place:
                raise error("injected")
            found.one_by_one.append(attachment)
            add(point, attachment)

        def faulty_put(bulk):
            bulk.cells[place:] = [Faulty(error) for _ in bulk.cells[place:]]
            left = max(0, place - len(bulk.cells))
            faulty = SimpleNamespace(_cell=Faulty(error), _plan=None)
            bulk.others[left:] = [(faulty, plan, bwd) for _, plan, bwd in bulk.others[left:]]
            try:
                return put(bulk)
            finally:
                for cell, plan in zip(bulk.cells[:place], bulk.plans, strict=False):
                    found.at_once += attachments_in(plan) if cell.plan is plan else ()
                for point, plan, bwd in bulk.others[:left]:
                    found.at_once += attachments_in(plan, bwd) if point._cell.plan is plan else ()

        monkeypatch.setattr(HookPoint, "add_attachment", faulty_add)
        monkeypatch.setattr(attach, "put", faulty_put)

    found.at = let_fail
    return found


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("place", range(len(POINTS)))
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_fault_while_attaching_leaves_nothing_behind(batch, place, error, model, tables, fault):
    before = tables(model)
    fault.at(place, error)
    with pytest.raises(error, match="injected"):
        BATCHES[batch](model, hook)
    assert tables(model) == before
    assert model.context_level == 0
    there = [*fault.at_once, *fault.one_by_one]
    assert len(there) == place
    assert all(attachment.generation == 0 for attachment in there)


def test_a_refused_batch_keeps_nothing_alive(model):
    class Hook:
        def __call__(self, tensor, hook):
            return None

    function = Hook()
    gone = weakref.ref(function)
    with hookframe.use_plugins(DenyAt(3)):
        try:
            model.add_hook(POINTS, function)
        except HookDenied:
            pass
        else:
            pytest.fail("nobody objected")
    del function
    gc.collect()
    assert gone() is None


def test_after_a_run_nothing_is_kept_alive_but_the_cache(model, x):
    _, cache = model.run_with_cache(x)
    references = [weakref.ref(value) for value in cache.values()]
    del cache
    gc.collect()
    assert [r() for r in references if r() is not None and r() is not x] == []


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_wrapper_plugin_that_fails_refuses_the_batch(model, tables):
    class Wrapper:
        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            if request.index == 2:
                raise RuntimeError("no wrapper left")
            return hook

    before = tables(model)
    with hookframe.use_plugins(Wrapper()), pytest.raises(HookDenied, match="no wrapper left"):
        model.add_hook(POINTS, hook)
    assert tables(model) == before


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_a_predicate_that_raises_leaves_nothing_changed(model, tables):
    before = tables(model)

    def picky(name):
        if name.endswith("resid_post"):
            raise LookupError("a predicate of the user's")
        return True

    for enter in (lambda: model.add_hook(picky, hook), lambda: model.run_with_cache(None, names_filter=picky)):
        with pytest.raises(LookupError, match="a predicate of the user's"):
            enter()
    assert tables(model) == before


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_an_interrupt_while_observers_are_told_leaves_no_context_behind(model, tables):
    class Interrupted:
        @hookimpl
        def hookframe_context_entered(self, event):
            raise KeyboardInterrupt

    before = tables(model)
    with hookframe.use_plugins(Interrupted()), pytest.raises(KeyboardInterrupt):
        model.hooks(fwd_hooks=[("hook_embed", hook)]).__enter__()
    assert tables(model) == before
    assert model.context_level == 0


def test_one_context_object_is_entered_once_at_a_time(model):
    context = model.hooks(fwd_hooks=[("hook_embed", hook)])
    with context:
        with pytest.raises(hookframe.HookframeError, match="is entered already"):
            context.__enter__()
        assert len(model.hook_embed.fwd_hooks) == 1
    with context:
        assert len(model.hook_embed.fwd_hooks) == 1
    assert not model.hook_embed.fwd_hooks


def test_leaving_twice_or_without_entering_changes_nothing(model):
    context = model.hooks(fwd_hooks=[("hook_embed", hook)])
    context.__exit__(None, None, None)
    with context:
        pass
    context.__exit__(None, None, None)
    assert model.context_level == 0


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_an_interrupt_in_an_observer_of_added_hooks_takes_them_off_again(model, tables):
    class Interrupted:
        @hookimpl
        def hookframe_hooks_added(self, event):
            raise KeyboardInterrupt

    before = tables(model)
    with hookframe.use_plugins(Interrupted()):
        for batch in BATCHES.values():
            with pytest.raises(KeyboardInterrupt):
                batch(model, hook)
    assert tables(model) == before
    assert model.context_level == 0
