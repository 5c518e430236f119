"""The cell that all points of a model share until something happens at one of them alone."""

from __future__ import annotations

import copy
import sys
import threading
from typing import Any

import pytest
import torch

import hookframe
from hookframe import HookedRootModule, HookPoint
from hookframe.core.fast_path import batch_pool as places
from hookframe.core.hooks.steps import SharedCell, lock
from hookframe.core.torch_compat.dynamo import tracing

ONES = torch.ones(2)
ALL = {"a": 1.0, "b": 2.0, "c": 4.0}


class Model(HookedRootModule):
    """Three points, and something that happens after the first."""

    def __init__(self, b: HookPoint | None = None) -> None:
        super().__init__()
        self.a, self.b, self.c = HookPoint(), b or HookPoint(), HookPoint()
        self.between: Any = lambda: None
        self.setup()

    def forward(self, x: Any) -> Any:
        x = self.a(x) + 1
        self.between()
        return self.c(self.b(x) * 2)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No plugin, and nothing that was compiled in another test: then each point runs a step of its own."""
    monkeypatch.setattr(tracing, "begun", False)
    with hookframe.use_plugins():
        yield


def cells(model: Model) -> int:
    """How many cells the points have."""
    return len({id(point._cell) for point in model.hook_dict.values()})


def values(cache: Any) -> dict[str, float]:
    return {name: float(value[0]) for name, value in cache.items()}


def is_clean(model: Model) -> bool:
    return not model.list_hooks() and all(point._cell.plan is None for point in model.hook_dict.values())


def read(tensor: Any, hook: Any) -> None:
    """Look."""


def test_what_is_done_at_all_points_is_written_once() -> None:
    model, plans = Model(), []
    model.between = lambda: plans.append({id(point._cell.plan) for point in model.hook_dict.values()})
    for _ in range(3):
        assert values(model.run_with_cache(ONES)[1]) == ALL
        assert cells(model) == 1
        assert is_clean(model)
    assert [len(found) for found in plans] == [1, 1, 1]


LEAVE = {
    "add_hook": lambda m: m.b.add_hook(read).remove(),
    "some are cached": lambda m: m.run_with_cache(ONES, names_filter=["b"]),
    "run_with_hooks": lambda m: m.run_with_hooks(ONES, fwd_hooks=[("b", read)]),
    "a gradient": lambda m: m.b.add_hook(read, dir="bwd").remove(),
    "torch's own": lambda m: (m.b.register_forward_hook(lambda *_: None).remove(), m.b(ONES)),
}


@pytest.mark.parametrize("what", LEAVE.values(), ids=LEAVE)
def test_a_point_at_which_something_happens_alone_leaves_the_others(what: Any) -> None:
    model = Model()
    for _ in range(2):
        assert values(model.run_with_cache(ONES)[1]) == ALL
        what(model)
        assert is_clean(model)
        assert not isinstance(model.b._cell, SharedCell)
        assert model.a._cell is model.c._cell
        assert isinstance(model.a._cell, SharedCell)
        assert model.a._cell.size == 2
        assert values(model.run_with_cache(ONES)[1]) == ALL


@pytest.mark.parametrize("what", LEAVE.values(), ids=LEAVE)
def test_a_point_may_leave_while_all_are_cached(what: Any) -> None:
    model = Model()
    model.run_with_cache(ONES)

    def once() -> None:
        model.between = lambda: None
        what(model)

    model.between = once
    assert values(model.run_with_cache(ONES)[1]) == ALL
    assert is_clean(model)
    assert values(model.run_with_cache(ONES)[1]) == ALL
    assert is_clean(model)


def test_two_operations_on_all_points_at_once_each_see_all() -> None:
    model, inner = Model(), []

    def nested() -> None:
        model.between = lambda: None
        inner.append(values(model.run_with_cache(ONES)[1]))

    for _ in range(3):
        model.between = nested
        _, cache = model.run_with_cache(ONES)
        assert inner.pop() == ALL
        assert values(cache) == ALL
        assert is_clean(model)


def test_a_hook_that_is_taken_off_at_one_point_is_off_there_alone() -> None:
    model = Model()
    model.run_with_cache(ONES)
    model.between = lambda: model.b.remove_hooks("both")
    assert values(model.run_with_cache(ONES)[1]) == {"a": 1.0, "c": 4.0}
    assert is_clean(model)
    model.between = lambda: None
    assert values(model.run_with_cache(ONES)[1]) == ALL


def test_models_that_share_a_point_have_each_what_it_asked_for() -> None:
    one = Model()
    two = Model(one.b)
    for _ in range(2):
        for model in (one, two):
            assert values(model.run_with_cache(ONES)[1]) == ALL
        assert is_clean(one)
        assert is_clean(two)


def test_a_model_that_is_set_up_again_in_the_midst_loses_no_hook() -> None:
    model = Model()
    model.run_with_cache(ONES)

    def grow() -> None:
        model.d = HookPoint()
        model.setup()

    model.between = grow
    assert values(model.run_with_cache(ONES)[1]) == ALL
    assert is_clean(model)
    model.between = lambda: model.d(ONES)
    for _ in range(2):
        assert values(model.run_with_cache(ONES)[1]) == {"a": 1.0, "d": 1.0, "b": 2.0, "c": 4.0}
        assert is_clean(model)


def test_a_model_that_is_set_up_again_shares_anew_what_never_was_alone() -> None:
    model = Model()
    model.b.add_hook(read).remove()
    before = model.a._cell
    model.setup()
    assert model.a._cell is model.c._cell is not before
    assert before.size == 0  # type: ignore[attr-defined]
    assert model.a._cell.size == 2  # type: ignore[attr-defined]
    assert values(model.run_with_cache(ONES)[1]) == ALL


def test_a_copy_shares_nothing_with_its_model() -> None:
    model, copies = Model(), []
    model.between = lambda: copies.append(copy.deepcopy(model.b))
    assert values(model.run_with_cache(ONES)[1]) == ALL
    model.between = lambda: None
    twin = copy.deepcopy(model)
    for one in (twin, model):
        assert values(one.run_with_cache(ONES)[1]) == ALL
    assert twin.a._cell is twin.c._cell is not model.a._cell
    assert not copies[0].has_hooks()  # a copy leaves caching hooks behind
    assert copies[0]._cell is not model.b._cell


def test_a_copy_of_a_points_dict_runs_what_the_point_runs_by_then() -> None:
    model, seen = Model(), []
    replica = HookPoint.__new__(HookPoint)
    replica.__dict__.update(model.b.__dict__)
    model.b.add_perma_hook(lambda tensor, hook: seen.append(float(tensor[0])))
    model.run_with_cache(ONES)
    replica(ONES * 7)
    assert seen == [2.0, 7.0]
    assert replica._cell is not model.b._cell


def test_what_is_planned_for_shared_cells_is_planned_under_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    model, free, planned = Model(), [], places._as_shared

    def look(points: Any) -> Any:
        thread = threading.Thread(target=lambda: free.append(lock.acquire(blocking=False)))
        thread.start()
        thread.join()
        return planned(points)

    monkeypatch.setattr(places, "_as_shared", look)
    model.run_with_cache(ONES)
    assert free == [False]


def interrupted(after: int, run: Any) -> bool:
    """Interrupt ``run`` at the ``after``-th line that says which cell a point has; True if it came so far."""
    left = [after]

    def count(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_name == "_move" and event == "line":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return count

    before = sys.gettrace()
    try:
        sys.settrace(count)
        run()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
@pytest.mark.parametrize("what", ["leave", "share"])
def test_an_interrupt_while_a_point_moves_loses_no_hook(what: str) -> None:
    for after in range(1, 100):
        model = Model()
        for _ in range(2):
            model.run_with_cache(ONES)
        came = interrupted(
            after, model.setup if what == "share" else lambda model=model: model.b.add_hook(read).remove()
        )
        assert is_clean(model)
        for names in (["a"], None, ["b", "c"], None):
            _, cache = model.run_with_cache(ONES, names_filter=names)
            assert values(cache) == {name: value for name, value in ALL.items() if names is None or name in names}
        if not came:
            break
    assert after > 4  # it has four lines


def test_threads_that_cache_and_attach_disturb_each_other_in_nothing() -> None:
    model, over, wrong = Model(), threading.Event(), []

    def work(operation: Any) -> None:
        while not over.is_set():
            try:
                operation()
            except BaseException as error:
                wrong.append(error)
                return

    def some() -> None:
        if values(model.run_with_cache(ONES, names_filter=["b"])[1]) != {"b": 2.0}:
            raise AssertionError

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
