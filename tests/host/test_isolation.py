"""Validators in a process of their own: the same objections, a hard time limit, and nothing that can harm the parent."""

from __future__ import annotations

import os
import sys
import textwrap
import time

import pytest

import hookframe
from hookframe import FunctionInfo, HookDenied, HookedRootModule, HookPoint, HookRequest, PluginManager, PluginRejected
from hookframe.errors import PluginError
from hookframe.host.running.guard import TRIP_AFTER
from hookframe.host.running.isolation import IsolatedPlugin
from hookframe.host.running.treatment import Treatment

SOUND = """
    from hookframe import Objection, hookimpl
    @hookimpl
    def hookframe_check_hooks_to_add(requests):
        print("this goes to standard error")
        return [
            Objection.deny(r, rule="no-edits", message=f"{r.point} is read-only", remedy="mark it read_only")
            for r in requests if r.effect == "edit"
        ]
    @hookimpl
    def hookframe_check_device(request):
        if request.device == "mps":
            return Objection.warn(request, rule="mps", message="use the cpu", remedy="pass cpu", device="cpu")
"""


def validator(body):
    lines = textwrap.indent(textwrap.dedent(body), "    ")
    return f"import os, sys, time\nfrom hookframe import hookimpl\n@hookimpl\ndef hookframe_check_hooks_to_add(requests):\n{lines}\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a plugin module that this process and its children can import."""
    monkeypatch.syspath_prepend(tmp_path)
    count = iter(range(100))

    def write(source):
        name = f"isolated_plugin_{tmp_path.name.replace('-', '_')}_{next(count)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    return write


@pytest.fixture
def isolate(module):
    made = []

    def start(source, **options):
        made.append(IsolatedPlugin(module(source), "acme", **options))
        return made[-1]

    yield start
    for plugin in made:
        plugin.close()


def request(index=0, effect="edit", point="blocks.0.hook_a"):
    function = FunctionInfo(module="m", qualname="f")
    return HookRequest(index=index, point=point, function=function, route="hooks", effect=effect)


def test_the_objections_are_the_same_in_and_out_of_process(module, isolate):
    batch = (request(0), request(1, "read"), request(2, point=None))
    name = module(SOUND)
    inside = PluginManager(__import__(name)).review_hooks(batch, None)
    manager = PluginManager()
    manager.register_isolated(name, name=name)
    outside = manager.review_hooks(batch, None)
    assert inside.objections == outside.objections
    assert [o.request.index for o in outside.denials] == [0, 2]
    manager.close()


@pytest.mark.parametrize("body", ["raise ZeroDivisionError('division')", "return 7"])
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_failure_is_the_same_objection_in_and_out_of_process(body, module):
    name = module(validator(body))
    inside = PluginManager(__import__(name)).review_hooks((request(),), None)
    manager = PluginManager()
    manager.register_isolated(name, name=name)
    outside = manager.review_hooks((request(),), None)
    assert inside.objections == outside.objections
    assert not outside.allowed
    manager.close()


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_lenient_one_that_keeps_failing_is_warned_of_and_then_left_out(module):
    manager = PluginManager(treatments={"acme": Treatment(failure="warn")})
    manager.register_isolated(module(validator("raise ZeroDivisionError('division')")), name="acme", limit=20.0)
    decisions = [manager.review_hooks((request(),), None) for _ in range(TRIP_AFTER + 1)]
    assert all(decision.allowed for decision in decisions)
    assert [len(decision.warnings) for decision in decisions] == [1] * TRIP_AFTER + [0]
    (record,) = manager.records
    assert (record.state, record.reason) == ("tripped", "check_hooks_to_add failed too often and is left out")
    manager.close()


def test_the_module_is_not_imported_here(module, isolate):
    name = module(SOUND)
    manager = PluginManager()
    record = manager.register_isolated(name, name="acme")
    assert name not in sys.modules
    assert (record.state, record.specs) == ("loaded", ("check_hooks_to_add", "check_device"))
    assert "process of its own" in record.reason
    manager.close()


def test_an_isolated_validator_guards_a_model(module):
    class Model(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_a = HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_a(x)

    manager = PluginManager()
    manager.register_isolated(module(SOUND), name="acme")
    with hookframe.use_plugins(manager), pytest.raises(HookDenied, match="hook_a is read-only"):
        Model().add_hook("hook_a", print)
    manager.close()


FAULTS = {
    "hangs": ("time.sleep(60)", "did not answer within 0.5 s"),
    "exits": ("os._exit(3)", "ended"),
    "closes its streams": ("os.close(0); sys.stdin.close(); os._exit(0)", "ended"),
    "raises": ("raise ZeroDivisionError('division')", "the plugin raised ZeroDivisionError: division"),
    "calls sys.exit": ("sys.exit(1)", "the plugin raised SystemExit: 1"),
    "returns junk": ("return 'no'", "returned a str, not objections"),
    "recurses": ("return hookframe_check_hooks_to_add(requests)", "RecursionError"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_validator_that_fails_in_its_process_denies_and_answers_again(fault, module):
    body, text = FAULTS[fault]
    marker = f"if requests[0].point == 'bad':\n    {body}\nreturn None"
    manager = PluginManager()
    manager.register_isolated(module(validator(marker)), name="acme", limit=0.5 if fault == "hangs" else 20.0)
    started = time.monotonic()
    refused = manager.review_hooks((request(point="bad"),), None)
    assert time.monotonic() - started < 30
    assert [(o.source, o.action) for o in refused.objections] == [("acme", "deny")]
    assert text in refused.objections[0].message
    if fault != "hangs":  # with so short a limit, starting again may take longer on a busy machine
        assert manager.review_hooks((request(point="good"),), None).allowed
    manager.close()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("raise ImportError('a library is missing')", "a library is missing"),
        (
            "from hookframe import hookimpl\n@hookimpl\ndef hookframe_check_hooks_to_add(requests, model): pass",
            "asks for the model",
        ),
        (
            "from hookframe import hookimpl\n@hookimpl\ndef hookframe_hooks_added(event): pass",
            "only validators can be isolated",
        ),
        ("import os\nos._exit(0)", "ended"),
    ],
)
def test_what_cannot_be_isolated_is_rejected_with_its_reason(source, text, module):
    manager = PluginManager()
    with pytest.raises(PluginRejected, match=text):
        manager.register_isolated(module(source), name="acme")
    assert manager.records == ()


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_an_answer_that_is_no_json_or_no_objection_is_an_error(isolate, monkeypatch):
    plugin = isolate(SOUND)
    for answer, text in (("nonsense\n", "no JSON"), ("[1]\n", "a list"), ("{}\n", "no objections"), ("", "ended")):
        with monkeypatch.context() as patch:
            patch.setattr("hookframe.host.running.isolation._converse", lambda child, line, answer=answer: answer)
            with pytest.raises(PluginError, match=text):
                plugin.ask("check_hooks_to_add", (request(),))
        plugin.close()
    assert len(plugin.ask("check_hooks_to_add", (request(),))) == 1


def test_a_fork_starts_a_process_of_its_own(isolate):
    plugin = isolate(SOUND)
    assert len(plugin.ask("check_hooks_to_add", (request(),))) == 1
    child = os.fork()
    if child == 0:  # pragma: no branch
        try:
            os._exit(10 + len(plugin.ask("check_hooks_to_add", (request(),))))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 11
    assert len(plugin.ask("check_hooks_to_add", (request(),))) == 1


def test_closing_ends_the_process(isolate):
    plugin = isolate(SOUND)
    process = plugin._child
    plugin.close()
    assert process.poll() is not None
    plugin.close()
