"""What the children of a conformance run do, tried in this process."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from hookframe.admission.wire import request_to_json
from hookframe.testing.conformance import behaviour_probe, import_probe, replay, samples
from hookframe.testing.conformance.child import ReportFile, run_child
from hookframe.testing.fake_installations import DENIES


@pytest.fixture
def reported(tmp_path):
    file = tmp_path / "report"
    file.touch()
    return ReportFile(str(file)), lambda: [json.loads(line) for line in file.read_text().splitlines()]


def test_requests_that_came_as_json_are_answered(reported, fake_install):
    fake = fake_install.normal("acme-rules", DENIES)
    batch = samples.ordinary()[0]
    report, lines = reported
    replay.main(report, [(batch[0], [request_to_json(request) for request in batch[1]])], fake.module)
    ((line,),) = ([*lines()],)
    assert line["observed"] == {}
    assert [objection["rule"] for objection in line["answers"][0]["objections"]] == ["no"]


def test_behaviour_is_reported_as_it_is_found(reported, fake_install):
    fake = fake_install.normal("acme-rules", DENIES)
    report, lines = reported
    behaviour_probe.main(report, fake.module)
    *started, outcome = lines()
    assert [line["starting"] for line in started][:3] == ["implementations-marked", "registers", "ordinary-requests"]
    assert outcome["validators"] == ["check_hooks_to_add"]
    assert outcome["for_model"] == []
    assert {result["verdict"] for result in outcome["results"]} == {"pass", "not-applicable"}


@pytest.mark.parametrize(
    ("event", "arguments", "kind"),
    [
        ("socket.connect", (), "socket"),
        ("socket.gethostname", (), None),
        ("os.posix_spawn", (), "process"),
        ("open", ("file", "r", 0), None),
        ("open", ("file", "rb+", 0), "file"),
        ("open", (b"file", None, os.O_WRONLY), "file"),
        ("open", ("file", None, os.O_RDONLY), None),
        ("open", (os.devnull, "w", 0), None),
        ("open", (3, "w", 0), None),
        ("import", ("x",), None),
    ],
)
def test_what_the_interpreter_reports_is_sorted(event, arguments, kind):
    assert import_probe._kind(event, arguments) == kind


def test_what_changed_is_told_by_name():
    assert import_probe._changed({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b", "c"]
    assert import_probe._torch_settings(()) == {}
    assert import_probe._torch_settings(("torch",)).keys() >= {"grad mode", "default dtype", "default device"}
    state = import_probe._random_state(("numpy", "torch"))
    assert state == import_probe._random_state(("numpy", "torch"))
    assert state.keys() == {"random", "numpy", "torch"}
    assert "the level of the root" in import_probe._logging_state()


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_child_that_cannot_start_says_how_it_ended(fake_install):
    report = run_child("replay", ["no_such_module"], timeout=60, question=[])
    assert report.lines == ()
    assert report.ending == "its process ended with exit code 1: ModuleNotFoundError: No module named 'no_such_module'"
    assert report.last("answers") is None


def alive(pid):
    try:
        os.kill(pid, 0)
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()  # nobody may have waited for it
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_what_a_child_started_is_ended_with_it(tmp_path, fake_install):
    mark = tmp_path / "pid"
    sleeper = "import time; time.sleep(600)"
    source = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", {sleeper!r}])
        open({str(mark)!r}, "w").write(str(child.pid))
    """
    fake = fake_install.normal("acme-starts", source)
    report = run_child("import_probe", [fake.module], timeout=60)
    assert report.last("effects")["process"] == ["subprocess.Popen"]
    pid = int(mark.read_text())
    deadline = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
