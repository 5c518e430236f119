"""Caching all points of a model, whatever else happens at them meanwhile."""

from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
import threading
import weakref
from contextlib import ExitStack

import pytest
import torch

import hookframe
from hookframe import HookedRootModule, HookPoint
from hookframe.errors import ActivationTypeError, HookDidNotFireWarning, ReplicaCacheError

ONES = torch.ones(2)
ALL = {"a": 1.0, "b": 2.0, "c": 4.0}


class Model(HookedRootModule):
    """Three points, and something that happens after the first."""

    def __init__(self, b=None):
        super().__init__()
        self.a, self.b, self.c = HookPoint(), b or HookPoint(), HookPoint()
        self.between = lambda: None
        self.setup()

    def forward(self, x):
        x = self.a(x) + 1
        self.between()
        return self.c(self.b(x) * 2)


class Outer(HookedRootModule):
    """A model around another one."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside
        self.setup()

    def forward(self, x):
        return self.inside(x)


def values(cache):
    return {name: float(value[0]) for name, value in cache.items()}


def cached(model, **options):
    """What a model's cache holds; no hook is left."""
    found = values(model.run_with_cache(ONES, **options)[1])
    assert is_clean(model)
    return found


def is_clean(model):
    return not model.list_hooks() and all(point._plan is None for point in model.hook_dict.values())


def once(model, what):
    """Let something happen in the midst of the next run alone."""

    def between():
        model.between = lambda: None
        what()

    model.between = between


def read(tensor, hook):
    """Look."""


def test_each_point_shows_its_hook_while_all_are_cached():
    model, seen = Model(), []
    model.between = lambda: seen.append([len(point.fwd_hooks) for point in model.hook_dict.values()])
    for _ in range(3):
        assert cached(model) == ALL
    assert seen == [[1, 1, 1]] * 3


ALONE = {
    "add_hook": lambda m: m.b.add_hook(read).remove(),
    "some are cached": lambda m: m.run_with_cache(ONES, names_filter=["b"]),
    "run_with_hooks": lambda m: m.run_with_hooks(ONES, fwd_hooks=[("b", read)]),
    "a gradient": lambda m: m.b.add_hook(read, dir="bwd").remove(),
    "torch's own": lambda m: (m.b.register_forward_hook(lambda *_: None).remove(), m.b(ONES)),
}


@pytest.mark.parametrize("midst", [False, True], ids=["between", "in the midst"])
@pytest.mark.parametrize("what", ALONE.values(), ids=ALONE)
def test_what_happens_at_one_point_alone_disturbs_no_other(what, midst):
    model = Model()
    for _ in range(3):
        if midst:
            once(model, lambda: what(model))
        else:
            what(model)
            assert is_clean(model)
        assert cached(model) == ALL
    assert cached(model) == ALL


def test_a_hook_that_comes_in_the_midst_runs_after_the_caching_hook_and_stays():
    model = Model()
    once(model, lambda: model.c.add_hook(lambda tensor, hook: tensor * 10))
    for expected in (ALL, ALL | {"c": 40.0}, ALL | {"c": 40.0}):  # the first time it comes too late
        output, cache = model.run_with_cache(ONES)
        assert values(cache) == expected
        assert float(output[0]) == 40
        assert [len(point.fwd_hooks) for point in model.hook_dict.values()] == [0, 0, 1]


@pytest.mark.parametrize("direction", ["fwd", "both"])
def test_a_caching_hook_that_is_removed_in_the_midst_stores_nothing_and_is_there_the_next_time(direction):
    model = Model()
    for _ in range(2):
        once(model, lambda: model.b.remove_hooks(direction))
        assert cached(model) == {"a": 1.0, "c": 4.0}
        assert cached(model) == ALL


class Negative:
    """A conversion."""

    def convert(self, tensor):
        return -tensor

    def revert(self, tensor):
        return -tensor


def test_a_conversion_that_comes_or_goes_in_the_midst_counts():
    model = Model()
    once(model, lambda: model.c.enable_reshape(Negative()))
    for _ in range(2):
        assert cached(model) == ALL | {"c": -4.0}
    once(model, model.c.enable_reshape)
    for _ in range(2):
        assert cached(model) == ALL


def test_an_operation_inside_of_another_leaves_it_its_values():
    model, inner = Model(), []
    for _ in range(3):
        once(model, lambda: inner.append(values(model.run_with_cache(ONES * 5)[1])))
        assert cached(model) == {"a": 5.0, "b": 2.0, "c": 4.0}  # it stores whatever passes, the last last
        assert inner.pop() == {"a": 5.0, "b": 6.0, "c": 12.0}


def test_models_that_share_a_point_have_each_what_it_asked_for():
    one = Model()
    two = Model(one.b)
    for _ in range(2):
        for model in (one, two):
            assert cached(model) == ALL
    inner = []
    once(one, lambda: inner.append(values(two.run_with_cache(ONES * 5)[1])))
    assert cached(one) == ALL
    assert inner == [{"a": 5.0, "b": 6.0, "c": 12.0}]
    assert is_clean(two)


def test_a_model_inside_of_another_stores_under_its_own_names():
    inside = Model()
    outer = Outer(inside)
    for _ in range(2):
        assert [*cached(outer)] == ["inside.a", "inside.b", "inside.c"]
        assert [*cached(inside)] == ["a", "b", "c"]


def test_a_model_that_is_set_up_again_in_the_midst_loses_no_hook():
    model = Model()
    cached(model)

    def grow():
        model.d = HookPoint()
        model.setup()

    once(model, grow)
    assert cached(model) == ALL
    model.between = lambda: model.d(ONES)
    for _ in range(2):
        assert cached(model) == {"a": 1.0, "d": 1.0, "b": 2.0, "c": 4.0}


def test_a_copy_that_is_made_in_the_midst_leaves_caching_hooks_behind():
    model, copies = Model(), []
    once(model, lambda: copies.extend((copy.deepcopy(model.b), copy.deepcopy(model))))
    assert cached(model) == ALL
    point, twin = copies
    assert not point.has_hooks()
    assert is_clean(twin)
    twin.b.add_hook(lambda tensor, hook: tensor * 10)
    assert values(twin.run_with_cache(ONES)[1]) == {"a": 1.0, "b": 20.0, "c": 40.0}
    assert cached(model) == ALL


def test_a_copy_of_a_points_dict_runs_what_the_point_runs_by_then_and_goes_on():
    model, seen = Model(), []
    replica = HookPoint.__new__(HookPoint)
    replica.__dict__.update(model.b.__dict__)
    handle = model.b.add_perma_hook(lambda tensor, hook: seen.append(float(tensor[0])))
    model.run_with_cache(ONES)
    replica(ONES * 7)
    handle.remove()
    assert cached(model) == ALL
    replica(ONES * 8)
    assert seen == [2.0, 7.0, 8.0]


def test_a_replica_made_in_the_midst_is_refused():
    model = Model()

    def replicate():
        replica = model.b._replicate_for_data_parallel()
        with pytest.raises(ReplicaCacheError, match="'b'"):
            replica(ONES)

    for _ in range(2):
        once(model, replicate)
        assert cached(model) == ALL


def test_what_is_no_tensor_is_refused_by_name():
    model = Model()
    for _ in range(2):
        with pytest.raises(ActivationTypeError, match="'a' is a int"):
            model.run_with_cache(1)
        assert cached(model) == ALL


def test_tensors_of_inference_mode_and_those_with_gradients_are_stored_detached():
    model = Model()
    with torch.inference_mode():
        assert values(model.run_with_cache(torch.ones(2))[1]) == ALL
    leaf = torch.ones(2, requires_grad=True)
    assert not any(value.requires_grad for value in model.run_with_cache(leaf)[1].values())


def test_hooks_that_stay_are_ordinary_hooks():
    model = Model()
    for _ in range(2):
        _, cache = model.run_with_cache(ONES, reset_hooks_end=False)
        model(ONES * 3)
        assert values(cache) == {"a": 3.0, "b": 4.0, "c": 8.0}
        model.reset_hooks()
        assert cached(model) == ALL


@pytest.mark.parametrize("options", [{}, {"clone": "always"}])
def test_a_call_that_is_under_way_when_its_operation_ends_changes_no_later_value(options):
    model, late = Model(), []
    model.between = lambda: late.append(model.b._plan)
    _, cache = model.run_with_cache(ONES)
    model.between = lambda: late[0].fire(model.b, ONES * 7)
    assert values(model.run_with_cache(ONES, **options)[1]) == ALL
    assert [*Outer(model).run_with_cache(ONES)[1]] == ["inside.a", "inside.b", "inside.c"]
    assert values(cache) == ALL


def test_a_scan_in_the_midst_knows_what_has_stored_already():
    model, found = Model(), []
    for _ in range(2):
        once(model, lambda: found.extend((hook.place, hook.fired) for hook in hookframe.scan(model).hooks))
        model.run_with_cache(ONES)
    assert found == [("a", 1), ("b", 0), ("c", 0)] * 2


@pytest.mark.parametrize("options", [{"clone": "always"}, {"clone": "auto"}, {"pos_slice": 0}, {"device": "meta"}])
def test_values_that_own_their_memory_keep_no_activation_alive(options):
    class Passing(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.a, self.b = HookPoint(), HookPoint()
            self.gone = False
            self.setup()

        def forward(self, x):
            value = x + 1
            value += 1  # its version is no longer 0
            activation = weakref.ref(value)
            y = self.a(value).sum()
            del value
            self.gone = activation() is None
            return self.b(x * y)

    model = Passing()
    model.run_with_cache(torch.ones(1, 2, 3), **options)
    assert model.gone


def test_a_point_whose_name_is_the_end_of_another_s_is_known_to_be_silent():
    class Named(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.embed, self.hook_embed = HookPoint(), HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_embed(x)

    with pytest.warns(HookDidNotFireWarning, match="'embed' never fired"):
        Named().run_with_cache(ONES, names_filter=["embed", "hook_embed"])


def test_the_compiler_comes_across_the_first_point_in_the_midst():
    script = textwrap.dedent("""
        import torch
        from hookframe import HookedRootModule, HookPoint
        from hookframe.core.hooks.caching import CachingAttachment
        from hookframe.core.hooks.steps import begin_tracing

        class Model(HookedRootModule):
            def __init__(self):
                super().__init__()
                self.a, self.b = HookPoint(), HookPoint()
                self.setup()

            def forward(self, x):
                x = self.a(x)
                begin_tracing()
                assert type(self.b.__dict__["_traced"]) is CachingAttachment
                return self.b(x)

        model = Model()
        for _ in range(2):
            assert [*model.run_with_cache(torch.ones(2))[1]] == ["a", "b"]
            assert model.b.__dict__["_traced"] is None is model.b._plan
        print("right")
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "right\n", done.stderr


def test_threads_that_cache_and_attach_disturb_each_other_in_nothing():
    model, over, wrong = Model(), threading.Event(), []

    def work(operation):
        while not over.is_set():
            try:
                operation()
            except BaseException as error:
                wrong.append(error)
                return

    def some():
        assert values(model.run_with_cache(ONES, names_filter=["b"])[1]) == {"b": 2.0}

    others = [some, lambda: model.c.add_hook(read).remove(), model.setup]
    threads = [threading.Thread(target=work, args=(operation,)) for operation in others]
    for thread in threads:
        thread.start()
    try:
        for _ in range(300):
            assert values(model.run_with_cache(ONES)[1]) == ALL
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert is_clean(model)


class Counting:
    """An observer."""

    def __init__(self):
        self.counts = []

    @hookframe.hookimpl
    def hookframe_run_finished(self, event):
        self.counts.append(event.counts)


@pytest.fixture
def plugin():
    return Counting()


def counted(*times):
    return {(point, "fwd"): number for point, number in zip("abc", times, strict=True)}


@pytest.mark.parametrize("options", [{}, {"clone": "always"}, {"scope": "context"}])
def test_each_run_counts_from_nothing(options, plugin):
    model = Model()
    with hookframe.use_plugins(plugin):
        for times in (2, 1, 1, 3):
            model.between = lambda times=times: [model.a(ONES) for _ in range(times - 1)]
            model.run_with_cache(ONES, **options)
    assert plugin.counts == [counted(times, 1, 1) for times in (2, 1, 1, 3)]


def test_what_one_run_counted_can_be_changed_without_a_trace_in_the_next(plugin):
    model = Model()
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES)
        plugin.counts[0].clear()
        model.run_with_cache(ONES)
    assert plugin.counts == [{}, counted(1, 1, 1)]


MIDST = {
    "somebody looks at the hooks": lambda m: m.a.has_hooks() and m.list_hooks(),
    "a hook comes": lambda m: m.a.add_hook(read),
    "a hook comes and goes": lambda m: m.a.add_hook(read).remove(),
}


@pytest.mark.parametrize("what", MIDST.values(), ids=MIDST)
def test_counting_goes_on_whatever_happens_at_a_point(what, plugin):
    model = Model()

    def between():
        what(model)
        model.a(ONES)

    model.between = between
    with hookframe.use_plugins(plugin):
        for _ in range(2):
            model.run_with_cache(ONES)
    assert plugin.counts == [counted(2, 1, 1)] * 2


def test_what_an_operation_inside_counts_is_its_own(plugin):
    model = Model()

    def another():
        model.between = lambda: model.a(ONES)
        model.reset_hooks()
        model.run_with_cache(ONES)

    model.between = another
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(2, 1, 1), counted(1, 0, 0)]


@pytest.mark.parametrize("perma", [False, True])
def test_runs_that_nobody_counted_leave_nothing_to_later_counts(perma, plugin):
    model = Model()
    if perma:
        model.add_perma_hook("a", read)  # a is not idle: its caching hook is one of two
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES)
    for options in ({}, {"clone": "always"}):
        once(model, lambda: model.a(ONES))
        model.run_with_cache(ONES, **options)
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES, clone="always")
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(1, 1, 1)] * 3


@pytest.mark.parametrize("removed", [False, True])
def test_whoever_arrives_in_the_midst_is_told_of_this_run_and_of_no_earlier_one(removed, plugin):
    model = Model()
    model.between = lambda: model.a(ONES)
    model.run_with_cache(ONES, clone="always")
    with ExitStack() as stack:

        def arrive():
            stack.enter_context(hookframe.use_plugins(plugin))
            if removed:
                model.b.remove_hooks()

        model.between = arrive
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(1, 1 - removed, 1)]


def test_counts_hold_while_another_thread_attaches_and_detaches(plugin):
    model, over = Model(), threading.Event()

    def change():
        while not over.is_set():
            for point in model.hook_dict.values():
                point.add_hook(read).remove()

    thread = threading.Thread(target=change)
    with hookframe.use_plugins(plugin):
        thread.start()
        try:
            for _ in range(200):
                model.run_with_cache(ONES)
        finally:
            over.set()
            thread.join()
    assert plugin.counts == [counted(1, 1, 1)] * 200
