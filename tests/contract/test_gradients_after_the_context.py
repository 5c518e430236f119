"""A context's backward hooks belong to the forwards that ran inside it, and fire for them after it has ended too."""

from __future__ import annotations

import gc
import logging
import threading
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import hookframe
from hookframe import (
    HookDenied,
    HookDidNotFireWarning,
    HookedRootModule,
    HookPoint,
    HookReturnError,
    Objection,
    hookimpl,
)

X = torch.ones(3)


def nothing(tensor, hook):
    return None


def into(seen):
    return lambda gradient, hook: seen.append((hook.name, gradient.tolist()))


def tenfold(gradient, hook):
    return gradient * 10


def forwards(model, how, *bwd_hooks):
    """The loss of a forward with these backward hooks, whose operation is over."""
    if how == "run_with_hooks":
        return model.run_with_hooks(X, loss=True, bwd_hooks=bwd_hooks)
    with model.hooks(bwd_hooks=bwd_hooks, scope=how):
        return model(X, loss=True)


HOW = pytest.mark.parametrize("how", ["run_with_hooks", "all", "context"])


@HOW
def test_they_fire_for_every_backward_pass(two, how):
    seen = []
    loss = forwards(two, how, ("first", into(seen)), ("second", into(seen)))
    assert seen == []
    for _ in range(3):
        loss.backward(retain_graph=True)
    assert seen == [("second", [1.0] * 3), ("first", [2.0] * 3)] * 3
    torch.autograd.grad(loss, two.weight)
    assert len(seen) == 8


@HOW
def test_what_they_return_takes_the_gradients_place(two, how):
    loss = forwards(two, how, ("first", tenfold))
    loss.backward()
    assert two.weight.grad.tolist() == [20.0] * 3


@HOW
def test_they_are_off_for_later_forwards(two, how):
    seen = []
    loss = forwards(two, how, ("first", into(seen)))
    assert not two.first.has_hooks()
    assert two.first.bwd_hooks == []
    two(X, loss=True).backward()
    assert seen == []
    loss.backward()
    assert len(seen) == 1


def test_two_contexts_on_one_graph_each_have_theirs(two):
    order = []
    with two.hooks(bwd_hooks=[("first", lambda g, hook: order.append("outer"))]):
        with two.hooks(bwd_hooks=[("first", lambda g, hook: order.append("inner"))]):
            both = two(X, loss=True)
        outer = two(X, loss=True)
    both.backward()
    outer.backward()
    assert order == ["outer", "inner", "outer"]


def test_hooks_of_the_same_kind_are_not_taken_for_those_of_an_earlier_graph(two):
    losses, seen = [], [[], [], []]
    losses.extend(forwards(two, "all", ("first", into(each))) for each in seen)
    for loss in reversed(losses):
        loss.backward(retain_graph=True)
    assert seen == [[("first", [2.0] * 3)]] * 3
    del loss, losses[1]
    forwards(two, "all", ("first", into([])))
    losses[0].backward()
    losses[1].backward()
    assert [len(each) for each in seen] == [2, 1, 2]


def test_a_context_that_an_exception_ended_has_left_its_graphs_their_hooks(two):
    seen, losses = [], []
    with pytest.raises(KeyError), two.hooks(bwd_hooks=[("first", into(seen))]):
        losses.append(two(X, loss=True))
        raise KeyError
    losses[0].backward()
    assert len(seen) == 1


# ---- an end to them ----------------------------------------------------------------------------------------------------


ENDS = {
    "the handle": lambda two, handle: handle.remove(),
    "torch's way": lambda two, handle: handle.hook.remove(),
    "remove_hooks": lambda two, handle: two.first.remove_hooks("bwd"),
    "of both directions": lambda two, handle: two.first.remove_hooks("both"),
    "reset_hooks": lambda two, handle: two.reset_hooks(),
    "remove_all_hook_fns": lambda two, handle: two.remove_all_hook_fns("bwd"),
    "of their level": lambda two, handle: two.reset_hooks(level=1),
}
NO_ENDS = {
    "of forward hooks": lambda two, handle: two.reset_hooks(direction="fwd"),
    "at another point": lambda two, handle: two.second.remove_hooks("both"),
    "of forward hooks at the point": lambda two, handle: two.first.remove_hooks(),
    "of another level": lambda two, handle: two.reset_hooks(level=2),
}


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("way", [*ENDS, *NO_ENDS])
def test_removing_ends_them_at_any_time(two, way, inside):
    seen = []
    end = (ENDS | NO_ENDS)[way]
    with two.hooks(bwd_hooks=[("first", into(seen)), ("second", into([]))]):
        handle = two.first.bwd_hooks[0]
        loss = two(X, loss=True)
        if inside and way in ENDS:
            end(two, handle)
    if not inside or way in NO_ENDS:
        loss.backward(retain_graph=True)
        assert len(seen) == 1
        end(two, handle)
    loss.backward()
    assert len(seen) == (way in NO_ENDS) + (not inside or way in NO_ENDS)


def test_a_reset_of_them_is_reviewed(two):
    class Keep:
        @hookimpl
        def hookframe_check_reset(self, request):
            return Objection.deny(request, rule="keep", message="these stay", remedy="use the handle")

    seen = []
    with hookframe.use_plugins(Keep()):
        loss = forwards(two, "all", ("first", into(seen)))
        for removal in (two.reset_hooks, lambda: two.first.remove_hooks("bwd")):
            with pytest.raises(HookDenied, match="these stay"):
                removal()
    loss.backward()
    assert len(seen) == 1


# ---- what never fired --------------------------------------------------------------------------------------------------


@HOW
@pytest.mark.parametrize("name", ["first", lambda name: True], ids=["by name", "by predicate"])
def test_what_never_fired_is_reported_when_the_graph_is_gone(two, how, name, recwarn):
    loss = forwards(two, how, (name, nothing))
    assert [*recwarn] == []
    del loss
    [warning] = recwarn
    assert warning.category is HookDidNotFireWarning
    assert "bwd hook" in str(warning.message)
    assert "call backward()" in str(warning.message)
    assert warning.filename == __file__  # where the context ended


@HOW
def test_what_fired_is_not(two, how, recwarn):
    forwards(two, how, ("first", nothing)).backward()
    forwards(two, how, (lambda name: True, nothing)).backward()
    gc.collect()
    assert [*recwarn] == []


@HOW
def test_without_a_graph_it_is_reported_at_once(two, how):
    with torch.no_grad(), pytest.warns(HookDidNotFireWarning, match="'first' never fired"):
        forwards(two, how, ("first", nothing))
    two.weight.requires_grad_(False)
    with pytest.warns(HookDidNotFireWarning, match="'first' never fired"):
        forwards(two, how, ("first", nothing))


def test_a_graph_that_went_inside_of_the_context_is_none(two):
    with pytest.warns(HookDidNotFireWarning, match="'first' never fired"), two.hooks(bwd_hooks=[("first", nothing)]):
        two(X, loss=True)


def test_forward_hooks_are_reported_at_the_end_of_the_context(picky, x):
    with pytest.warns(HookDidNotFireWarning, match="fwd hook .* at 'blocks.0.mlp_never'"):
        picky.blocks[0].mlp_never = HookPoint()
        with picky.hooks(fwd_hooks=[("blocks.0.mlp_never", nothing)], bwd_hooks=[("hook_embed", nothing)]):
            loss = picky(x, loss=True)
    loss.backward()


def test_what_was_removed_is_not_reported(two, recwarn):
    loss = forwards(two, "all", ("first", nothing))
    two.reset_hooks()
    del loss
    assert [*recwarn] == []


def test_where_warnings_are_errors_it_is_logged(two, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, "hookframe"):
        warnings.simplefilter("error")
        loss = forwards(two, "all", ("first", nothing))
        del loss
    assert "'first' never fired" in caplog.text


def test_a_graph_may_outlive_its_model_and_go_in_a_collection(two, make, recwarn):
    class Ring:
        pass

    ring, model = Ring(), make["two"]()
    ring.itself, ring.loss = ring, forwards(model, "all", ("first", nothing))
    gone = weakref.ref(model)
    del model, ring
    gc.collect()
    assert gone() is None
    assert ["first" in str(warning.message) for warning in recwarn] == [True]


# ---- memory, threads, checkpoints, copies ------------------------------------------------------------------------------


@HOW
def test_what_they_hold_goes_with_the_graph(two, how):
    class Function:
        def __call__(self, gradient, hook):
            return None

    function = Function()
    alive = weakref.ref(function)
    loss = forwards(two, how, ("first", function))
    loss.backward()
    del function
    assert alive() is not None
    del loss
    assert alive() is None


def test_a_backward_pass_in_another_thread_fires_them(two):
    seen = []
    loss = forwards(two, "context", ("first", into(seen)))
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    assert len(seen) == 1


def test_many_threads_have_hooks_of_their_own():
    class Model(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.linear, self.point = nn.Linear(3, 3), HookPoint()
            self.setup()

        def forward(self, x):
            return self.point(self.linear(x)).sum()

    model, wrong = Model(), []

    def work():
        for _ in range(50):
            own = []
            loss = model.run_with_hooks(
                X, bwd_hooks=[("point", lambda g, hook, own=own: own.append(1))], scope="context"
            )
            loss.backward(retain_graph=True)
            loss.backward()
            if own != [1, 1]:
                wrong.append(own)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert model.left_in_graphs() == []


def test_with_checkpoints_they_fire_once_a_pass():
    class Checkpointed(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.point = HookPoint()
            self.setup()

        def forward(self, x):
            return checkpoint(lambda x: self.point(x * 3).square(), x, use_reentrant=False).sum()

    model, seen, leaf = Checkpointed(), [], torch.ones(1, requires_grad=True)
    loss = model.run_with_hooks(leaf, bwd_hooks=[("point", into(seen))])
    loss.backward()
    assert seen == [("point", [6.0])]
    assert leaf.grad.item() == 18.0


def test_copies_of_the_model_have_nothing_of_it(two, make):
    import copy

    loss = forwards(two, "all", ("first", nothing))
    assert copy.deepcopy(two).left_in_graphs() == []
    loss.backward()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch.compile looks at it
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # nor does hookframe
def test_compiled_models_too(two):
    seen = []
    compiled = torch.compile(two, backend="eager")
    with two.hooks(bwd_hooks=[("first", into(seen))]):
        loss = compiled(X, loss=True)
    loss.backward(retain_graph=True)
    loss.backward()
    assert seen == [("first", [2.0] * 3)] * 2


def test_a_cache_of_gradients_fills_late(two):
    cache, fwd, bwd = two.get_caching_hooks("first", incl_bwd=True)
    with two.hooks(fwd_hooks=fwd, bwd_hooks=bwd):
        loss = two(X, loss=True)
    assert [*cache] == ["first"]
    loss.backward()
    assert cache["first_grad"].tolist() == [2.0] * 3


# ---- observers -----------------------------------------------------------------------------------------------------------


class Recorder:
    def __init__(self):
        self.runs, self.failed = [], []

    @hookimpl
    def hookframe_run_finished(self, event):
        self.runs.append((event.operation, event.route, dict(event.counts)))

    @hookimpl
    def hookframe_hook_failed(self, event):
        self.failed.append((event.point, event.error))


def test_late_firings_are_counted_under_their_operation(two):
    recorder = Recorder()
    with hookframe.use_plugins(recorder):
        with two.hooks(fwd_hooks=[("second", nothing)], bwd_hooks=[("first", nothing), ("second", nothing)]):
            inside, loss = two(X, loss=True), two(X, loss=True)
            inside.backward()
        two(X)
    [(operation, route, counts)] = recorder.runs
    assert counts == {("second", "fwd"): 2, ("first", "bwd"): 1, ("second", "bwd"): 1}
    late = (operation, route, {("first", "bwd"): 1, ("second", "bwd"): 1})
    loss.backward(retain_graph=True)
    assert recorder.runs[1:] == [late]
    loss.backward()
    assert recorder.runs[1:] == [late, late]


def test_a_late_failure_is_told_and_reaches_the_caller(two):
    recorder = Recorder()
    with hookframe.use_plugins(recorder):
        loss = forwards(two, "all", ("first", lambda gradient, hook: gradient[:1]))
    with pytest.raises(HookReturnError, match="of shape"):
        loss.backward()
    assert recorder.failed == [("first", "HookReturnError")]
