"""An operation that is unusual: the same is seen of it the first time, when it is planned, and again, when it is not."""

from __future__ import annotations

import gc
import sys
import warnings
import weakref
from pathlib import Path

import pytest
import torch

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, PluginManager, hookimpl
from hookframe.core.fast_path import batch_pool
from hookframe.core.registration.batch import Batch
from hookframe.core.torch_compat.dynamo import tracing
from hookframe.errors import HookDidNotFireWarning, StaleActivationWarning

PACKAGE = str(Path(hookframe.__file__).parent)
ONES = torch.ones(1, 3)
EXACT = ["a", "c"]
ALL = {"a": 1, "b": 2, "c": 4}


class Model(HookedRootModule):
    """Points, and something that happens between the first two."""

    def __init__(self, *, more=0, controller=None):
        super().__init__()
        self.a, self.b, self.c = HookPoint(), HookPoint(), HookPoint()
        self.more = torch.nn.ModuleList([HookPoint() for _ in range(more)])
        self.between = lambda x: x
        self.setup()
        self.admission_controller = controller or PluginManager()

    def forward(self, x):
        x = self.between(self.a(x)) + 1
        x = self.c(self.b(x) * 2)
        for point in self.more:
            x = point(x)
        return x


class Failed(Exception):
    """Raised in the midst."""


@pytest.fixture
def planned(monkeypatch):
    """The routes of the operations that were planned, and not taken from the pool."""
    routes, plan = [], Batch.plan

    def noted(asked, route, **options):
        routes.append(route)
        return plan(asked, route, **options)

    monkeypatch.setattr(Batch, "plan", noted)
    return routes


def read(tensor, hook):
    """Look."""


def double(tensor, hook):
    """Edit."""
    return tensor * 2


OPERATIONS = {
    "cache everything": lambda m: m.run_with_cache(ONES),
    "cache some": lambda m: m.run_with_cache(ONES, names_filter=EXACT),
    "cache one position": lambda m: m.run_with_cache(ONES, pos_slice=0),
    "cache copies": lambda m: m.run_with_cache(ONES, clone="always"),
    "cache elsewhere": lambda m: m.run_with_cache(ONES, device="cpu", remove_batch_dim=True),
    "cache in this thread": lambda m: m.run_with_cache(ONES, scope="context"),
    "read one": lambda m: m.run_with_hooks(ONES, fwd_hooks=[("b", read)]),
    "edit several": lambda m: m.run_with_hooks(ONES, fwd_hooks=[("a", double), ("b", read), ("a", double)]),
    "read all": lambda m: m.run_with_hooks(ONES, fwd_hooks=[(lambda name: True, read)]),
    "read, and clear": lambda m: m.run_with_hooks(ONES, fwd_hooks=[("a", read)], clear_contexts=True),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
CACHING, READING = OPERATIONS["cache everything"], OPERATIONS["read one"]


def outcome(model, operation):
    """All that can be seen of an operation."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            done = operation(model)
        except Exception as error:
            result = (type(error), str(error), getattr(error, "__notes__", ()))
        else:
            output, cache = done if isinstance(done, tuple) else (done, {})
            kept = {name: value.tolist() for name, value in cache.items()}
            result = output.tolist(), kept, getattr(cache, "stale", ()), getattr(cache, "skipped", {})
    assert not model.list_hooks()
    assert model.context_level == 0
    return result, [(w.category, str(w.message), Path(w.filename).name) for w in said]


def both_times(prepare, operation, planned, make=Model):
    """What is seen of an operation the first time and again, each of a model of its own; checked to be the same."""
    seen = []
    for again in (False, True):
        model = make()
        if again:
            operation(model)
        prepare(model)
        planned.clear()
        seen.append(outcome(model, operation))
        assert bool(planned) is not again or prepare is nests
    assert seen[0] == seen[1]
    return seen[0]


def usual(model):
    """As ever."""


def skips_b(model):
    model.forward = lambda x: model.c(model.a(x))


def changes_a(model):
    model.forward = lambda x: model.c(model.b(model.a(x * 2).add_(1)))


def raises(model):
    def between(x):
        raise Failed("in the model")

    model.between = between


def takes_off(model):
    def between(x):
        model.reset_hooks()
        return x

    model.between = between


def nests(model):
    def between(x):
        model.between = lambda x: x
        model.run_with_cache(ONES)
        assert model.context_level == 1
        return x

    model.between = between


def runs_nothing(model):
    model.forward = lambda x: x


UNUSUAL = {f.__name__: f for f in (usual, skips_b, changes_a, raises, takes_off, nests, runs_nothing)}


@pytest.mark.parametrize("prepare", UNUSUAL.values(), ids=UNUSUAL)
@every_operation
def test_the_same_is_seen_again(operation, prepare, planned):
    (result, *_), said = both_times(prepare, operation, planned)
    assert (result is Failed) is (prepare is raises)
    if prepare in (usual, nests):
        assert not said


SILENT, STALE = HookDidNotFireWarning, StaleActivationWarning


@pytest.mark.parametrize(
    ("prepare", "operation", "cached", "said"),
    [
        (usual, "cache everything", ALL, {}),
        (nests, "cache everything", ALL, {}),
        (skips_b, "cache everything", {"a": 1, "c": 1}, {}),
        (skips_b, "cache some", {"a": 1, "c": 1}, {}),
        (skips_b, "read one", {}, {"'b' never fired": SILENT}),
        (skips_b, "read all", {}, {}),
        (
            changes_a,
            "cache everything",
            {"a": 3, "b": 3, "c": 3},
            {"1 cached activations were changed in place": STALE},
        ),
        (changes_a, "cache copies", {"a": 2, "b": 3, "c": 3}, {}),
        (takes_off, "cache everything", {"a": 1}, {}),
        (takes_off, "cache some", {"a": 1}, {}),
        (takes_off, "read one", {}, {}),
        (runs_nothing, "cache everything", {}, {"none of the 3 hooks": SILENT}),
        (runs_nothing, "cache some", {}, {"at 'a' never fired": SILENT, "at 'c' never fired": SILENT}),
        (runs_nothing, "read one", {}, {"at 'b' never fired": SILENT}),
    ],
)
def test_what_is_cached_and_said_is_right(prepare, operation, cached, said, planned):
    (_, kept, *_), warned = both_times(prepare, OPERATIONS[operation], planned)
    assert kept == {name: [[value] * 3] for name, value in cached.items()}
    assert [category for category, *_ in warned] == [*said.values()]
    assert all(part in message for part, (_, message, _) in zip(said, warned, strict=True))
    assert {place for *_, place in warned} <= {Path(__file__).name}


def test_a_function_that_raises_is_named_and_the_next_run_is_whole(planned):
    model, fails = Model(), [True]

    def hook(tensor, hook):
        if fails[0]:
            raise Failed("in the hook")

    def run():
        return model.run_with_hooks(ONES, fwd_hooks=[("b", hook)])

    for fails[0] in (True, False, True, False):
        if fails[0]:
            with pytest.raises(Failed) as caught:
                run()
            assert "hook point 'b'" in caught.value.__notes__[0]
        else:
            assert torch.equal(run(), ONES * 4)
        assert not model.list_hooks()
    assert planned == ["run_with_hooks"]  # the first of all


class Listens:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    @hookimpl
    def hookframe_hooks_removed(self, event):
        self.told.append("removed")

    @hookimpl
    def hookframe_context_exited(self, event):
        self.told.append(f"exited {event.route} {event.level} {event.removed} {event.error}")

    @hookimpl
    def hookframe_cache_finished(self, event):
        self.told.append(f"cached {event.stored}")

    @hookimpl
    def hookframe_run_finished(self, event):
        self.told.append(f"ran {[*event.counts.values()]} {event.error}")

    @hookimpl
    def hookframe_hook_failed(self, event):
        self.told.append(f"failed {event.point}")


TOLD = {
    (CACHING, False): ["exited run_with_cache 1 3 None", "cached ('a', 'b', 'c')", "ran [1, 1, 1] None"],
    (CACHING, True): ["exited run_with_cache 1 3 Failed", "cached ('a',)", "ran [1, 0, 0] Failed"],
    (READING, False): ["exited run_with_hooks 1 1 None", "ran [1] None"],
    (READING, True): ["exited run_with_hooks 1 1 Failed", "ran [0] Failed"],
}


@pytest.mark.parametrize("fails", [False, True])
@every_operation
def test_who_comes_to_listen_in_the_midst_is_told_how_it_ended(operation, fails, planned):
    told = []

    def prepare(model):
        def between(x):
            listener = Listens()
            told.append(listener.told)
            model.admission_controller.register(listener)
            if fails:
                raise Failed("in the model")
            return x

        model.between = between

    both_times(prepare, operation, planned)
    assert told[0] == told[1] != []
    assert told[0] == ["removed", *TOLD.get((operation, fails), told[0][1:])]


@every_operation
def test_who_comes_in_the_midst_can_keep_the_result_back(operation, planned):
    class Refuses:
        @hookimpl
        def hookframe_check_run(self, request):
            return Objection.deny(request, rule="not-this-run", message="not this run", remedy="run it again")

    def prepare(model):
        def between(x):
            model.admission_controller.register(Refuses())
            return x

        model.between = between

    (kind, message, _), _ = both_times(prepare, operation, planned)
    assert kind is HookDenied
    assert "not this run" in message


@every_operation
def test_a_plugin_is_told_from_when_it_comes_until_it_goes(operation, planned):
    model, listener = Model(), Listens()
    for _ in range(2):
        operation(model)
    model.admission_controller.register(listener)
    told = []
    for _ in range(2):
        operation(model)
        told.append([*listener.told])
        listener.told.clear()
    model.admission_controller.unregister(model.admission_controller.records[0].name)
    operation(model)
    assert told[0] == told[1] != []
    assert not listener.told
    assert len(planned) == 1


class Fickle(PluginManager):
    """Admits everything until it is strict."""

    strict = False

    def review_hooks(self, requests, model):
        decision = super().review_hooks(requests, model)
        if not self.strict:
            return decision
        make = getattr(Objection, self.strict)
        return type(decision)(requests, (make(requests[1], rule="fickle", message="not now", remedy="ask again"),))


@pytest.mark.parametrize("action", ["deny", "skip"])
def test_a_controller_that_changes_its_mind_is_heeded(action, planned):
    models = []

    def prepare(model):
        model.admission_controller.strict = action
        models.append(model)

    result, _ = both_times(prepare, CACHING, planned, lambda: Model(controller=Fickle()))
    if action == "deny":
        assert result[0] is HookDenied
        assert "not now" in result[1]
    else:
        assert [*result[1]] == ["a", "c"]
        assert [*result[3]] == ["b"]
    for model in models:
        model.admission_controller.strict = False
        assert [*CACHING(model)[1]] == ["a", "b", "c"]


def test_a_controller_of_ones_own_is_asked_and_told_each_time():
    class Tells(PluginManager):
        wanted = frozenset({"hooks_added"})

        def notify(self, event):
            told.append(type(event).__name__)

    class Wraps:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def review_hooks(self, requests, model):
            told.append("asked")
            return self.inner.review_hooks(requests, model)

    for controller, each in ((Tells(), "HooksAdded"), (Wraps(PluginManager()), "asked")):
        told = []
        model = Model(controller=controller)
        for _ in range(3):
            CACHING(model)
        assert told == [each] * 3


def test_a_model_with_a_check_of_its_own_is_asked_each_time(planned):
    class Checks(Model):
        refused = None

        def check_hooks_to_add(self, point, name, *args, **kwargs):
            asked.append(name)
            assert name != self.refused, "not there"

    asked = []
    model = Checks()
    for _ in range(3):
        CACHING(model)
    assert asked == ["a", "b", "c"] * 3
    assert planned == ["run_with_cache"]
    (_, kept, _, skipped), _ = both_times(lambda model: setattr(model, "refused", "b"), CACHING, planned, Checks)
    assert [*kept] == ["a", "c"]
    assert "not there" in skipped["b"]


@pytest.mark.parametrize("options", [{}, {"scope": "context"}, {"clear_contexts": True}, {"reset_hooks_end": False}])
def test_no_hooks_at_all_are_no_hooks(options):
    model = Model()
    for _ in range(3):
        assert torch.equal(model.run_with_hooks(ONES, **options), model(ONES))
        assert not model.list_hooks()
        assert model.context_level == 0


def test_nothing_is_kept_when_it_is_over():
    class Held:
        def __call__(self, tensor, hook):
            pass

    model = Model()
    for _ in range(3):
        held = Held()
        model.run_with_hooks(ONES, fwd_hooks=[("a", held)])
        output, cache = model.run_with_cache(ONES.clone())
        gone = [weakref.ref(thing) for thing in (held, output, cache, *cache.values())]
        del held, output, cache
        gc.collect()
        assert [reference() for reference in gone] == [None] * len(gone)


def interrupted(operation, name, after):
    """Interrupt an operation at the ``after``-th line of the loops called ``name``; True if it came so far."""
    left, before = [after], sys.gettrace()

    def count(frame, event, argument):
        if event == "line" and frame.f_code is getattr(batch_pool, name).__code__:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return count

    try:
        sys.settrace(count)
        operation()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", ["put", "take"])
@every_operation
def test_an_interrupt_as_hooks_come_or_go_leaves_none(operation, name, again):
    expected = outcome(Model(), operation)
    for after in range(1, 100):
        model = Model()
        if again:
            operation(model)
        came = interrupted(lambda model=model: operation(model), name, after)
        assert not model.list_hooks(), after
        assert model.context_level == 0, after
        assert outcome(model, operation) == expected, after
        if not came:
            break
    assert after > 6  # it has that many lines at least


def calls_in(run):
    """How many functions of hookframe's are called beside those of the points."""
    counted, before = [0], sys.getprofile()

    def count(frame, event, argument):
        name = frame.f_code.co_qualname
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE) and name != "HookPoint.__call__":
            counted[0] += not name.endswith(".fire")

    try:
        sys.setprofile(count)
        run()
    finally:
        sys.setprofile(before)
    return counted[0]


@pytest.mark.parametrize("operation", ["cache everything", "cache some", "read one"])
def test_few_functions_are_called_whatever_the_size(operation, monkeypatch):
    monkeypatch.setattr(tracing, "begun", False)  # else what each point runs is also written where the compiler looks
    found = []
    for more in (0, 400):
        model = Model(more=more)
        for _ in range(2):
            OPERATIONS[operation](model)
        found.append(calls_in(lambda model=model: OPERATIONS[operation](model)))
    assert found[0] == found[1] <= 50
