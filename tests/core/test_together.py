"""One step for all points of an operation that caches activations: it must show, and change, as hooks of their own do."""

import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from hookframe.core.together import Together

import hookframe
from hookframe import HookedRootModule, HookPoint
from hookframe.core.hooks.caching import LoneCachingAttachment
from hookframe.core.torch_compat.dynamo import tracing
from hookframe.errors import ActivationTypeError, HookDidNotFireWarning, ReplicaCacheError


class Model(HookedRootModule):
    """Three points, and something that happens after the first."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = HookPoint(), HookPoint(), HookPoint()
        self.between: Callable[[], Any] = lambda: None
        self.setup()

    def forward(self, x: Any) -> Any:
        x = self.a(x) + 1
        self.between()
        return self.c(self.b(x) * 2)


ONES = torch.ones(2)


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the compiler has come across a point, in whatever test, each runs its own step."""
    monkeypatch.setattr(tracing, "begun", False)


def values(cache: Any) -> dict[str, float]:
    return {name: float(value[0]) for name, value in cache.items()}


ALL = {"a": 1.0, "b": 2.0, "c": 4.0}


def test_all_points_run_one_step_and_each_shows_its_hook() -> None:
    model, seen = Model(), []

    def look() -> None:
        points = list(model.hook_dict.values())
        steps = {id(point._cell.plan) for point in points}
        seen.append((len(steps), type(model.a._cell.plan), [len(point.fwd_hooks) for point in points]))

    model.between = look
    for _ in range(2):
        assert values(model.run_with_cache(ONES)[1]) == ALL
    assert seen == [(1, Together, [1, 1, 1])] * 2
    assert not any(point.has_hooks() for point in model.hook_dict.values())


def test_a_hook_that_comes_in_the_midst_runs_after_the_caching_hook_and_stays() -> None:
    model = Model()
    model.between = lambda: model.c.add_hook(lambda tensor, hook: tensor * 10)
    output, cache = model.run_with_cache(ONES)
    model.between = lambda: None
    assert values(cache) == ALL
    assert float(output[0]) == 40
    assert [len(point.fwd_hooks) for point in model.hook_dict.values()] == [0, 0, 1]
    output, cache = model.run_with_cache(ONES)  # the point is not idle now
    assert values(cache) == {"a": 1.0, "b": 2.0, "c": 40.0}
    assert [len(point.fwd_hooks) for point in model.hook_dict.values()] == [0, 0, 1]


def test_a_caching_hook_that_is_removed_in_the_midst_stores_nothing_and_is_there_the_next_time() -> None:
    model = Model()
    model.between = lambda: model.b.remove_hooks()
    assert values(model.run_with_cache(ONES)[1]) == {"a": 1.0, "c": 4.0}
    model.between = lambda: None
    assert values(model.run_with_cache(ONES)[1]) == ALL


class Negative:
    """A conversion."""

    def convert(self, tensor: torch.Tensor) -> torch.Tensor:
        return -tensor

    def revert(self, tensor: torch.Tensor) -> torch.Tensor:
        return -tensor


def test_a_conversion_that_comes_in_the_midst_counts() -> None:
    model = Model()
    model.between = lambda: model.c.enable_reshape(Negative())  # type: ignore[arg-type]
    for _ in range(2):
        assert values(model.run_with_cache(ONES)[1]) == {"a": 1.0, "b": 2.0, "c": -4.0}
    model.between = model.c.enable_reshape
    for _ in range(2):
        assert values(model.run_with_cache(ONES)[1]) == ALL


def test_an_operation_inside_of_another_leaves_it_its_values() -> None:
    model, inner = Model(), []

    def run() -> None:
        model.between = lambda: None
        inner.append(values(model.run_with_cache(ONES * 5)[1]))

    model.between = run
    outer = values(model.run_with_cache(ONES)[1])
    assert inner == [{"a": 5.0, "b": 6.0, "c": 12.0}]
    assert outer == {"a": 5.0, "b": 2.0, "c": 4.0}  # it stores whatever passes, the last last
    assert not any(point.has_hooks() for point in model.hook_dict.values())


def test_two_models_that_share_points_store_under_their_own_names() -> None:
    class Outer(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.inside = Model()
            self.setup()

        def forward(self, x: torch.Tensor) -> Any:
            return self.inside(x)

    outer = Outer()
    for _ in range(2):
        assert [*outer.run_with_cache(ONES)[1]] == ["inside.a", "inside.b", "inside.c"]
        assert [*outer.inside.run_with_cache(ONES)[1]] == ["a", "b", "c"]


def test_what_is_no_tensor_is_refused_by_name() -> None:
    model = Model()
    with pytest.raises(ActivationTypeError, match="'a' is a int"):
        model.run_with_cache(1)
    assert values(model.run_with_cache(ONES)[1]) == ALL


def test_tensors_of_inference_mode_and_their_gradients_are_stored_detached() -> None:
    model = Model()
    with torch.inference_mode():
        assert values(model.run_with_cache(torch.ones(2))[1]) == ALL
    leaf = torch.ones(2, requires_grad=True)
    assert not any(value.requires_grad for value in model.run_with_cache(leaf)[1].values())


def test_a_replica_made_in_the_midst_is_refused() -> None:
    model = Model()

    def replicate() -> None:
        replica = model.b._replicate_for_data_parallel()
        with pytest.raises(ReplicaCacheError, match="'b'"):
            replica(ONES)

    model.between = replicate
    assert values(model.run_with_cache(ONES)[1]) == ALL


def test_a_call_that_began_before_another_operation_with_other_options_is_still_right() -> None:
    model, steps = Model(), []
    model.between = lambda: steps.append(model.b._cell.plan)
    model.run_with_cache(ONES)

    def late() -> None:
        steps[0].fire(model.b, ONES * 7)

    model.between = late
    _, cache = model.run_with_cache(ONES, clone="always")  # the same planned hooks
    assert values(cache) == ALL


class Counting:
    """An observer."""

    def __init__(self) -> None:
        self.counts: list[Any] = []

    @hookframe.hookimpl
    def hookframe_run_finished(self, event: Any) -> None:
        self.counts.append(event.counts)


def counted(*times: int) -> dict[tuple[str, str], int]:
    return {(point, "fwd"): number for point, number in zip("abc", times, strict=True)}


def test_whoever_wants_counts_gets_them() -> None:
    model, plugin = Model(), Counting()
    model.between = lambda: model.a(ONES)
    with hookframe.use_plugins(plugin):
        for _ in range(2):
            model.run_with_cache(ONES)
        model.between = lambda: None
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(2, 1, 1)] * 2 + [counted(1, 1, 1)]


def test_what_one_run_counted_can_be_changed_without_a_trace_in_the_next() -> None:
    model, plugin = Model(), Counting()
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES)
        plugin.counts[0].clear()
        model.run_with_cache(ONES)
    assert plugin.counts == [{}, counted(1, 1, 1)]


def test_counting_goes_on_where_somebody_has_looked_at_what_a_point_runs() -> None:
    model, plugin = Model(), Counting()

    def look() -> None:
        assert [len(point.fwd_hooks) for point in model.hook_dict.values()] == [1, 1, 1]
        model.a(ONES)

    model.between = look
    with hookframe.use_plugins(plugin):
        for _ in range(2):
            model.run_with_cache(ONES)
    assert plugin.counts == [counted(2, 1, 1)] * 2


def test_a_hook_that_comes_in_the_midst_changes_no_count() -> None:
    model, plugin = Model(), Counting()

    def add() -> None:
        model.a.add_hook(lambda tensor, hook: None)
        model.a(ONES)

    model.between = add
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(2, 1, 1)]


def test_what_an_operation_inside_counts_is_its_own() -> None:
    model, plugin = Model(), Counting()

    def another() -> None:
        model.between = lambda: model.a(ONES)
        model.reset_hooks()
        model.run_with_cache(ONES)

    model.between = another
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(2, 1, 1), counted(1, 0, 0)]


def test_counts_begin_at_nothing_after_runs_with_and_without_the_shared_step() -> None:
    model, plugin = Model(), Counting()
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES)
    model.between = model.a.has_hooks  # somebody looks at what a point runs
    model.run_with_cache(ONES)
    model.run_with_cache(ONES, clone="always")
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES, clone="always")
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(1, 1, 1)] * 3


def test_whoever_arrives_in_the_midst_is_told_nothing_of_an_earlier_run() -> None:
    model, plugin = Model(), Counting()
    model.between = lambda: model.a(ONES)
    model.run_with_cache(ONES, clone="always")  # each hook by itself, a's twice
    with ExitStack() as stack:
        model.between = lambda: stack.enter_context(hookframe.use_plugins(plugin))
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(1, 1, 1)]


def test_counts_of_the_hooks_of_one_thread_begin_at_nothing() -> None:
    model, plugin = Model(), Counting()
    with hookframe.use_plugins(plugin):
        for _ in range(3):
            model.run_with_cache(ONES, scope="context")
    assert plugin.counts == [counted(1, 1, 1)] * 3


def test_counts_hold_while_another_thread_attaches_and_detaches() -> None:
    model, plugin, over = Model(), Counting(), threading.Event()

    def change() -> None:
        while not over.is_set():
            for point in model.hook_dict.values():
                point.add_hook(lambda tensor, hook: None).remove()

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


def test_whoever_begins_to_want_counts_in_the_midst_is_told_what_ran() -> None:
    model, plugin = Model(), Counting()
    with ExitStack() as stack:

        def arrive() -> None:
            stack.enter_context(hookframe.use_plugins(plugin))
            model.b.remove_hooks()

        model.between = arrive
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(1, 0, 1)]


def test_hooks_that_stay_are_hooks_of_their_own() -> None:
    model = Model()
    model.run_with_cache(ONES, reset_hooks_end=False)
    assert {type(point._cell.plan) for point in model.hook_dict.values()} == {LoneCachingAttachment}
    model.reset_hooks()
    assert values(model.run_with_cache(ONES)[1]) == ALL


def test_the_compiler_comes_across_the_first_point_in_the_midst() -> None:
    script = textwrap.dedent("""
        import torch
        from hookframe import HookedRootModule, HookPoint
        from hookframe.core.hooks.caching import LoneCachingAttachment
        from hookframe.core.hooks.steps import begin_tracing

        class Model(HookedRootModule):
            def __init__(self):
                super().__init__()
                self.a, self.b = HookPoint(), HookPoint()
                self.setup()

            def forward(self, x):
                x = self.a(x)
                begin_tracing()
                assert type(self.b.__dict__["_traced"]) is LoneCachingAttachment
                return self.b(x)

        model = Model()
        for _ in range(2):
            assert [*model.run_with_cache(torch.ones(2))[1]] == ["a", "b"]
            assert model.b.__dict__["_traced"] is None is model.b._cell.plan
        print("right")
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "right\n", done.stderr


def test_counts_begin_at_nothing_after_runs_that_nobody_counted() -> None:
    model, plugin = Model(), Counting()
    model.add_perma_hook("a", lambda tensor, hook: None)
    for _ in range(3):
        model.run_with_cache(ONES)  # a is not idle: its caching hook runs by itself
    with hookframe.use_plugins(plugin):
        model.run_with_cache(ONES)
    assert plugin.counts == [counted(1, 1, 1)]


@pytest.mark.parametrize("options", [{"clone": "always"}, {"clone": "auto"}, {"pos_slice": 0}, {"device": "meta"}])
def test_values_that_own_their_memory_keep_no_activation_alive(options: dict[str, Any]) -> None:
    class Passing(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = HookPoint(), HookPoint()
            self.gone = False
            self.setup()

        def forward(self, x: torch.Tensor) -> Any:
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


def test_a_point_whose_name_is_the_end_of_another_s_is_known_to_be_silent() -> None:
    class Named(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.hook_embed = HookPoint(), HookPoint()
            self.setup()

        def forward(self, x: torch.Tensor) -> Any:
            return self.hook_embed(x)

    with pytest.warns(HookDidNotFireWarning, match="'embed' never fired"):
        Named().run_with_cache(ONES, names_filter=["embed", "hook_embed"])


def test_a_scan_in_the_midst_knows_what_has_stored_already() -> None:
    model, found = Model(), []
    model.between = lambda: found.extend((hook.place, hook.fired) for hook in hookframe.scan(model).hooks)
    model.run_with_cache(ONES)
    assert found == [("a", 1), ("b", 0), ("c", 0)]


def test_a_call_that_is_under_way_when_its_operation_ends_stores_nothing_in_its_cache() -> None:
    model, late = Model(), []

    class Outer(HookedRootModule):
        def __init__(self) -> None:
            super().__init__()
            self.inside = model
            self.setup()

        def forward(self, x: torch.Tensor) -> Any:
            return self.inside(x)

    outer = Outer()
    model.between = lambda: late.append(model.b._cell.plan)
    _, cache = model.run_with_cache(ONES)
    model.between = lambda: late[0].fire(model.b, ONES * 7)
    assert [*outer.run_with_cache(ONES)[1]] == ["inside.a", "inside.b", "inside.c"]
    assert values(cache) == ALL
