"""The short way of an operation that was there before: it must show, tell and refuse as the ordinary way does."""

from __future__ import annotations

import gc
import sys
import warnings
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, PluginManager, hookimpl
from hookframe.core.torch_compat.dynamo import tracing
from hookframe.core.verbs.context import HookContext

PACKAGE = str(Path(hookframe.__file__).parent)
ONES = torch.ones(1, 3)
EXACT = ["a", "c"]


class Model(HookedRootModule):
    """Points, and something that happens between the first two."""

    def __init__(self, more: int = 0) -> None:
        super().__init__()
        self.a, self.b, self.c = HookPoint(), HookPoint(), HookPoint()
        self.more = torch.nn.ModuleList([HookPoint() for _ in range(more)])
        self.between: Any = lambda x: x
        self.setup()

    def forward(self, x: Any) -> Any:
        x = self.between(self.a(x) + 1)
        x = self.c(self.b(x) * 2)
        for point in self.more:
            x = point(x)
        return x


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the compiler has come across a point, in whatever test, all goes the ordinary way."""
    monkeypatch.setattr(tracing, "begun", False)


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The routes of the contexts that are entered."""
    routes: list[str] = []
    enter = HookContext.__enter__

    def noted(context: Any) -> Any:
        routes.append(context.route)
        return enter(context)

    monkeypatch.setattr(HookContext, "__enter__", noted)
    return routes


def read(tensor: Any, hook: Any) -> None:
    """Look."""


def double(tensor: Any, hook: Any) -> Any:
    """Edit."""
    return tensor * 2


OPERATIONS: dict[str, Any] = {
    "cache everything": lambda m: m.run_with_cache(ONES),
    "cache some": lambda m: m.run_with_cache(ONES, names_filter=EXACT),
    "cache one position": lambda m: m.run_with_cache(ONES, pos_slice=0),
    "cache copies": lambda m: m.run_with_cache(ONES, clone="always"),
    "cache elsewhere": lambda m: m.run_with_cache(ONES, device="cpu", remove_batch_dim=True),
    "read one": lambda m: m.run_with_hooks(ONES, fwd_hooks=[("b", read)]),
    "edit several": lambda m: m.run_with_hooks(ONES, fwd_hooks=[("a", double), ("b", read), ("a", double)]),
    "read all": lambda m: m.run_with_hooks(ONES, fwd_hooks=[(lambda name: True, read)]),
}


def outcome(model: Model, operation: Any) -> tuple[Any, ...]:
    """All that can be seen of an operation."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            done = operation(model)
        except Exception as error:
            result: Any = (type(error), str(error), getattr(error, "__notes__", ()))
        else:
            output, cache = done if isinstance(done, tuple) else (done, {})
            kept = {name: value.tolist() for name, value in cache.items()}
            result = output.tolist(), kept, getattr(cache, "stale", ()), getattr(cache, "skipped", {})
    hooks = {name: len(point.fwd_hooks) + len(point.bwd_hooks) for name, point in model.hook_dict.items()}
    return result, [(w.category, str(w.message), Path(w.filename).name) for w in said], hooks, model.context_level


def both_ways(prepare: Any, operation: Any, entered: list[str]) -> list[Any]:
    """What is seen of an operation the second time, the ordinary way and the short one."""
    seen = []
    for short in (False, True):
        model, manager = Model(), PluginManager()
        model.admission_controller = manager
        operation(model)
        manager.admits_all = short
        prepare(model)
        entered.clear()
        seen.append(outcome(model, operation))
        assert prepare is nests or bool(entered) is not short
        assert model.context_level == 0
    return seen


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_what_is_seen_is_what_the_ordinary_way_shows(operation: Any, entered: list[str]) -> None:
    ordinary, short = both_ways(lambda model: None, operation, entered)
    assert short == ordinary
    assert not short[1]  # nothing to warn of


class Failed(Exception):
    """Raised in the midst."""


def skips_b(model: Model) -> None:
    model.b.forward = None  # type: ignore[assignment,method-assign]  # would not be called
    model.forward = lambda x: model.c(model.a(x))  # type: ignore[method-assign]


def changes_a(model: Model) -> None:
    model.forward = lambda x: model.c(model.b(model.a(x * 2).add_(1)))  # type: ignore[method-assign]


def raises(model: Model) -> None:
    def between(x: Any) -> Any:
        raise Failed("in the model")

    model.between = between


def takes_off(model: Model) -> None:
    def between(x: Any) -> Any:
        model.reset_hooks()
        return x

    model.between = between


def nests(model: Model) -> None:
    def between(x: Any) -> Any:
        model.between = lambda x: x
        model.run_with_cache(ONES)
        assert model.context_level == 1
        return x

    model.between = between


def runs_nothing(model: Model) -> None:
    model.forward = lambda x: x  # type: ignore[method-assign]


UNUSUAL = {f.__name__: f for f in (skips_b, changes_a, raises, takes_off, nests, runs_nothing)}


@pytest.mark.parametrize("prepare", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_what_is_unusual_is_seen_as_well(operation: Any, prepare: Any, entered: list[str]) -> None:
    ordinary, short = both_ways(prepare, operation, entered)
    assert short == ordinary


@pytest.mark.parametrize(
    ("prepare", "said"),
    [(changes_a, ["changed in place"]), (runs_nothing, ["at 'a' never fired", "at 'c' never fired"]), (skips_b, [])],
)
def test_what_is_unusual_is_warned_of(prepare: Any, said: list[str], entered: list[str]) -> None:
    for _, warned, *_ in both_ways(prepare, OPERATIONS["cache some"], entered):
        assert len(warned) == len(said)
        assert all(part in message for part, (_, message, _) in zip(said, warned, strict=True))


def test_a_function_that_raises_is_named_and_the_next_run_is_whole(entered: list[str]) -> None:
    model, fails = Model(), [False]
    model.admission_controller = PluginManager()

    def hook(tensor: Any, hook: Any) -> None:
        if fails[0]:
            raise Failed("in the hook")

    def run() -> Any:
        return model.run_with_hooks(ONES, fwd_hooks=[("b", hook)])

    expected = run()
    fails[0] = True
    with pytest.raises(Failed) as caught:
        run()
    assert "hook point 'b'" in caught.value.__notes__[0]
    assert not model.list_hooks()
    fails[0] = False
    assert torch.equal(run(), expected)
    assert torch.equal(run(), expected)
    assert entered == ["run_with_hooks"]  # the first of all


class Listens:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @hookimpl
    def hookframe_hooks_removed(self, event: Any) -> None:
        self.told.append("removed")

    @hookimpl
    def hookframe_context_exited(self, event: Any) -> None:
        self.told.append(f"exited {event.route} {event.level} {event.removed} {event.error}")

    @hookimpl
    def hookframe_cache_finished(self, event: Any) -> None:
        self.told.append(f"cached {event.stored}")

    @hookimpl
    def hookframe_run_finished(self, event: Any) -> None:
        self.told.append(f"ran {event.counts} {event.error}")

    @hookimpl
    def hookframe_hook_failed(self, event: Any) -> None:
        self.told.append(f"failed {event.point}")


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_who_comes_to_listen_in_the_midst_is_told_how_it_ended(operation: Any, fails: bool) -> None:
    told = []
    for short in (False, True):
        model, listener = Model(), Listens()
        operation_of = PluginManager()
        with ExitStack() as stack:
            stack.enter_context(hookframe.use_plugins(operation_of))
            operation(model)
            operation_of.admits_all = short

            def between(x: Any, listener: Any = listener, stack: Any = stack) -> Any:
                stack.enter_context(hookframe.use_plugins(listener))
                if fails:
                    raise Failed("in the model")
                return x

            model.between = between
            outcome(model, operation)
        told.append(listener.told)
    assert told[0] == told[1] != []


def test_who_comes_in_the_midst_can_keep_the_result_back() -> None:
    class Refuses:
        @hookimpl
        def hookframe_check_run(self, request: Any) -> Objection:
            return Objection.deny(request, rule="not-this-run", message="not this run", remedy="run it again")

    model, manager = Model(), PluginManager()
    model.admission_controller = manager
    model.run_with_cache(ONES)

    def between(x: Any) -> Any:
        manager.register(Refuses())
        return x

    model.between = between
    with pytest.raises(HookDenied, match="not this run"):
        model.run_with_cache(ONES)
    assert model.context_level == 0
    assert not model.list_hooks()


@pytest.mark.parametrize("action", ["deny", "skip"])
def test_a_controller_that_says_that_it_admits_all_is_asked_all_the_same(action: str, entered: list[str]) -> None:
    class Fickle(PluginManager):
        strict = False

        def review_hooks(self, requests: Any, model: Any) -> Any:
            decision = super().review_hooks(requests, model)
            if not self.strict:
                return decision
            make = getattr(Objection, action)
            objection = make(requests[1], rule="fickle", message="not this one now", remedy="ask again")
            return type(decision)(requests, (objection,))

    model, manager = Model(), Fickle()
    assert not manager.admits_all  # a manager that says something of its own is asked and told as ever
    manager.admits_all = True
    model.admission_controller = manager
    model.run_with_cache(ONES)
    model.run_with_cache(ONES)
    assert entered == ["run_with_cache"]
    manager.strict = True
    if action == "deny":
        with pytest.raises(HookDenied, match="not this one now"):
            model.run_with_cache(ONES)
    else:
        _, cache = model.run_with_cache(ONES)
        assert [*cache] == ["a", "c"]
        assert [*cache.skipped] == ["b"]
    assert not model.list_hooks()
    assert model.context_level == 0
    manager.strict = False
    assert [*model.run_with_cache(ONES)[1]] == ["a", "b", "c"]


def test_a_manager_that_says_something_of_its_own_is_told_each_time() -> None:
    class Tells(PluginManager):
        wanted = frozenset({"hooks_added"})

        def notify(self, event: Any) -> None:
            told.append(type(event).__name__)

    class Wraps:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def review_hooks(self, requests: Any, model: Any) -> Any:
            told.append("asked")
            return self.inner.review_hooks(requests, model)

    for manager, each in ((Tells(), "HooksAdded"), (Wraps(PluginManager()), "asked")):
        told: list[str] = []
        model = Model()
        model.admission_controller = manager  # type: ignore[assignment]
        for _ in range(3):
            model.run_with_cache(ONES)
        assert told == [each] * 3


def test_a_model_with_a_check_of_its_own_is_asked_each_time(entered: list[str]) -> None:
    class Checks(Model):
        asked = 0

        def check_hooks_to_add(self, *args: Any, **kwargs: Any) -> None:
            self.asked += 1

    model = Checks()
    model.admission_controller = PluginManager()
    for number in range(1, 4):
        model.run_with_cache(ONES)
        assert model.asked == 3 * number
    assert entered == ["run_with_cache"] * 3


@pytest.mark.parametrize("plugin", [None, Listens()], ids=["alone", "with a listener"])
def test_nobody_is_passed_over(plugin: Any, entered: list[str]) -> None:
    model, manager = Model(), PluginManager()
    model.admission_controller = manager
    model.run_with_cache(ONES)
    model.run_with_cache(ONES)
    assert len(entered) == 1
    if plugin is not None:
        manager.register(plugin)
        model.run_with_cache(ONES)
        assert len(entered) == 2
        assert plugin.told
        manager.unregister(manager.records[0].name)
    model.run_with_cache(ONES)
    assert len(entered) == (1 if plugin is None else 2)


@pytest.mark.parametrize("options", [{"scope": "context"}, {"clear_contexts": True}, {"reset_hooks_end": False}])
def test_what_is_asked_for_beyond_that_goes_the_ordinary_way(options: dict[str, Any], entered: list[str]) -> None:
    model = Model()
    model.admission_controller = PluginManager()
    for _ in range(2):
        model.run_with_cache(ONES, **options)
        model.run_with_hooks(ONES, fwd_hooks=[("a", read)], **options)
    assert len(entered) == 4


def test_no_hooks_at_all_are_no_hooks(entered: list[str]) -> None:
    model = Model()
    model.admission_controller = PluginManager()
    for _ in range(3):
        assert torch.equal(model.run_with_hooks(ONES), model(ONES))


def test_nothing_is_kept_when_it_is_over() -> None:
    model = Model()
    model.admission_controller = PluginManager()
    for _ in range(3):
        output, cache = model.run_with_cache(ONES.clone())
        gone = [weakref.ref(cache), weakref.ref(output), *map(weakref.ref, cache.values())]
        del output, cache
        gc.collect()
        assert [ref() for ref in gone] == [None] * len(gone)

    class Held:
        def __call__(self, tensor: Any, hook: Any) -> None:
            pass

    for _ in range(3):
        held = Held()
        model.run_with_hooks(ONES, fwd_hooks=[("a", held)])
        gone = [weakref.ref(held)]
        del held
        gc.collect()
        assert gone[0]() is None


def calls_in(run: Any) -> int:
    """How many functions of hookframe's are called beside those of the points."""
    counted = [0]

    def count(frame: Any, event: str, argument: Any) -> None:
        name = frame.f_code.co_qualname
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE) and name != "HookPoint.__call__":
            counted[0] += not name.endswith(".fire")

    before = sys.getprofile()
    try:
        sys.setprofile(count)
        run()
    finally:
        sys.setprofile(before)
    return counted[0]


@pytest.mark.parametrize(("operation", "most"), [("cache everything", 37), ("cache some", 38), ("read one", 43)])
def test_so_few_functions_are_called_whatever_the_size(operation: str, most: int) -> None:
    found = []
    for more in (0, 400):
        model = Model(more)
        model.admission_controller = PluginManager()
        for _ in range(2):
            OPERATIONS[operation](model)
        found.append(calls_in(lambda model=model: OPERATIONS[operation](model)))
    assert found[0] == found[1] <= most
