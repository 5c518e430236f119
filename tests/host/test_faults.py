"""The fault matrix: plugins that raise, exit, return junk, at import, at registration and at call."""

from __future__ import annotations

import logging

import pytest

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, PluginManager, PluginRejected, hookimpl
from hookframe.host.running.guard import TRIP_AFTER


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_a = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_a(x)


def raising(error):
    def answer(requests):
        raise error

    return answer


def half_way(requests):
    yield Objection.audit(requests[0], rule="r", message="m", remedy="r")
    raise LookupError("half-way")


def foreign(requests):
    other = hookframe.DeviceRequest(device="cpu", purpose="model", route="to")
    return [Objection.deny(other, rule="r", message="m", remedy="r")]


JUNK = {
    "raises": (raising(ZeroDivisionError("division")), "the plugin raised ZeroDivisionError: division"),
    "exits": (raising(SystemExit(3)), "the plugin raised SystemExit: 3"),
    "asserts": (raising(AssertionError("no")), "the plugin raised AssertionError: no"),
    "a string": (lambda requests: "no", "returned a str, not objections"),
    "a number": (lambda requests: 7, "returned a int, not objections"),
    "True": (lambda requests: True, "returned a bool, not objections"),
    "a list of strings": (lambda requests: ["no"], "returned a str among its objections"),
    "a list with None": (lambda requests: [None], "returned a NoneType among its objections"),
    "a generator that raises": (half_way, "raised LookupError while answering"),
    "an objection to something else": (foreign, "objected to a request that it was not asked about"),
}


@pytest.mark.parametrize("fault", JUNK)
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_validator_that_fails_denies_under_its_plugins_name(fault):
    answer, text = JUNK[fault]

    class Faulty:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return answer(requests)

    model = Model()
    with hookframe.use_plugins(Faulty()), pytest.raises(HookDenied, match=text) as refusal:
        model.add_hook("hook_a", print)
    assert [o.source for o in refusal.value.decision.denials] == ["Faulty"]
    assert "repair or uninstall" in str(refusal.value)
    assert model(1) == 1
    assert not model.hook_a.has_hooks()


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_validator_that_keeps_failing_keeps_denying():
    class Faulty:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            raise RuntimeError("broken")

    model = Model()
    with hookframe.use_plugins(Faulty()):
        for _ in range(3 * TRIP_AFTER):
            with pytest.raises(HookDenied, match="broken"):
                model.add_hook("hook_a", print)


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_the_traceback_of_a_validator_is_logged(caplog):
    class Faulty:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            raise RuntimeError("deep inside")

    with hookframe.use_plugins(Faulty()), pytest.raises(HookDenied, match="deep inside"):
        Model().add_hook("hook_a", print)
    assert "Traceback" in caplog.text
    assert "'Faulty'" in caplog.text


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_keyboard_interrupt_in_a_plugin_is_the_users_own():
    class Interrupted:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            raise KeyboardInterrupt

    model = Model()
    with hookframe.use_plugins(Interrupted()), pytest.raises(KeyboardInterrupt):
        model.add_hook("hook_a", print)
    assert not model.hook_a.has_hooks()
    with hookframe.use_plugins():
        model.add_hook("hook_a", print)  # and admission is open again


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(3), AssertionError("no")])
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_an_observer_that_fails_changes_nothing_and_is_named(error, caplog):
    told = []

    class Faulty:
        @hookimpl
        def hookframe_hooks_added(self, event):
            raise error

    class Sound:
        @hookimpl
        def hookframe_hooks_added(self, event):
            told.append(event.requests[0].point)

    model = Model()
    with hookframe.use_plugins(Faulty(), Sound()):
        model.add_hook("hook_a", lambda t, hook: t + 1)
    assert told == ["hook_a"]
    assert model(1) == 2
    assert "observer hooks_added of plugin 'Faulty' raised" in caplog.text


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_an_observer_that_keeps_failing_is_left_out_and_shown_as_tripped(caplog):
    calls = []

    class Faulty:
        @hookimpl
        def hookframe_hooks_added(self, event):
            calls.append(event)
            raise RuntimeError("broken")

    model = Model()
    with hookframe.use_plugins(Faulty()) as manager, caplog.at_level(logging.ERROR, logger="hookframe.plugins"):
        for _ in range(TRIP_AFTER + 3):
            model.add_hook("hook_a", print)
    assert len(calls) == TRIP_AFTER
    assert [r.message for r in caplog.records] == [
        f"observer hooks_added of plugin 'Faulty' is left out after {TRIP_AFTER} failures"
    ]
    (record,) = manager.records
    assert (record.state, record.reason) == ("tripped", "hooks_added failed too often and is left out")


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_one_success_starts_the_count_anew():
    outcomes = iter([RuntimeError("x")] * (TRIP_AFTER - 1) + [None] + [RuntimeError("x")] * (TRIP_AFTER - 1))

    class Shaky:
        @hookimpl
        def hookframe_hooks_added(self, event):
            if (error := next(outcomes)) is not None:
                raise error

    model = Model()
    with hookframe.use_plugins(Shaky()) as manager:
        for _ in range(2 * TRIP_AFTER - 1):
            model.add_hook("hook_a", print)
    assert manager.records[0].state == "loaded"


@pytest.mark.parametrize("answer", [7, "wrapper", object()])
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_provider_that_wraps_with_junk_refuses(answer):
    class Junk:
        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            return answer

    model = Model()
    with hookframe.use_plugins(Junk()), pytest.raises(HookDenied, match="which cannot be called"):
        model.add_hook("hook_a", print)
    assert not model.hook_a.has_hooks()


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(1)])
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_plugin_that_raises_at_registration_is_rejected(error):
    class Faulty:
        @hookimpl
        def hookframe_configure(self, config):
            raise error

    with pytest.raises(PluginRejected, match="failed while it was registered"):
        PluginManager(Faulty())


def test_an_event_observer_may_attach_hooks_of_its_own():
    class Greedy:
        @hookimpl
        def hookframe_context_entered(self, event):
            model.add_hook("hook_a", print)

    model = Model()
    with hookframe.use_plugins(Greedy()), model.hooks():
        assert model.hook_a.has_hooks()
