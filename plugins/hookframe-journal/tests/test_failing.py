# ruff: noqa: S607  # mount by its name; chance that can be repeated
"""Disks that are full, directories that are gone, processes that fork or die."""

from __future__ import annotations

import errno
import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hookframe_journal.verify import verify_journal

from hookframe import Decision, HookDenied, HookedRootModule, HookPoint, JournalError, use_plugins
from hookframe.admission.events import HooksRemoved
from hookframe.admission.request import DeviceRequest
from hookframe.audit import DecisionEntry, EventEntry, read_journal

from .conftest import allowed, batch, denied

HERE = Path(__file__).parent


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_x = HookPoint()
        self.setup()


def add_a_hook():
    return Model().add_hook("hook_x", lambda tensor, hook: None)


def decisions(journal):
    return [entry for entry in read_journal(journal) if isinstance(entry, DecisionEntry)]


@pytest.fixture
def small_files():
    """No file of this process can grow beyond 4 KiB, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_full_disk_is_logged_once_counted_and_made_good_later(small_files, keep, journal, caplog):
    plugin = keep(flush_seconds=60)
    with caplog.at_level(logging.WARNING, "hookframe.journal"):
        for number in range(30):
            plugin.hookframe_decision_made(denied(str(number)))
        failures = plugin.journal.failures
        assert failures > 10
        assert str(plugin.journal.failure).endswith(os.strerror(errno.EFBIG))
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
        before = decisions(journal)  # what is there is whole: nothing half-written stays
        assert 0 < len(before) < 30
        assert [finding.code for finding in verify_journal(journal)[0].findings] == ["unfinished"]
        small_files()
        plugin.hookframe_decision_made(denied("last"))
        assert plugin.journal.failure is None
    assert "is written again" in caplog.text
    assert [entry.requests[0].point for entry in decisions(journal)] == [*map(str, range(30)), "last"]
    plugin.close()
    assert verify_journal(journal)[0].findings == ()


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_what_goes_beyond_the_limit_is_counted_in_the_journal(small_files, keep, journal, monkeypatch):
    monkeypatch.setattr("hookframe_journal.journal._KEPT", 20)
    plugin = keep(flush_seconds=60)
    for number in range(40):
        plugin.hookframe_decision_made(denied(str(number)))
    small_files()
    plugin.close()
    (lost,) = [entry for entry in read_journal(journal) if getattr(entry, "kind", "") == "lost"]
    assert lost.facts["records"] + len(decisions(journal)) == 40
    assert plugin.journal.lost == lost.facts["records"] > 0


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_refusal_finds_its_place_also_behind_all_that_waits(small_files, keep, journal, monkeypatch):
    monkeypatch.setattr("hookframe_journal.journal._KEPT", 20)
    plugin = keep(flush_seconds=60)
    for number in range(60):
        plugin.hookframe_decision_made(denied(str(number)))
    given_up = plugin.journal.lost
    assert given_up > 0
    small_files()
    plugin.hookframe_decision_made(denied("last"))
    assert decisions(journal)[-1].requests[0].point == "last"
    assert plugin.journal.lost == given_up


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_required_journal_that_cannot_be_written_refuses_with_a_rule_and_a_remedy(small_files, keep, journal):
    with use_plugins(keep(required=True, flush_seconds=60, flush_records=1)):
        refused = None
        for _ in range(40):
            try:
                add_a_hook()
            except HookDenied as error:
                refused = error
                break
        assert refused is not None
        (denial,) = refused.decision.denials
        assert (denial.rule, denial.source) == ("audit-required", "JournalPlugin")
        assert "File too large" in denial.message
        assert denial.remedy
        assert isinstance(refused.__cause__, JournalError)
        with pytest.raises(HookDenied, match="audit-required"):
            add_a_hook()
        small_files()
        add_a_hook()  # and never trips: as soon as it can be written, it goes on


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_required_journal_never_lets_a_decision_pass_that_it_failed_to_write_late(small_files, keep):
    plugin = keep(required=True, flush_seconds=0.02)
    with use_plugins(plugin):
        deadline = time.monotonic() + 20
        while plugin.journal.failure is None:
            assert time.monotonic() < deadline
            try:
                add_a_hook()
            except HookDenied:
                break
        with pytest.raises(HookDenied, match="audit-required"):
            add_a_hook()
        small_files()


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_journal_that_is_not_required_refuses_nothing(small_files, keep):
    with use_plugins(keep(flush_records=1, flush_seconds=60)) as manager:
        for _ in range(40):
            add_a_hook()
    assert [record.state for record in manager.records] == ["loaded"]  # not tripped
    small_files()


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_denial_stays_the_denial_that_it_was_when_it_cannot_be_recorded(small_files, keep):
    plugin = keep(required=True, flush_seconds=60)
    with pytest.raises(JournalError):
        for number in range(40):
            plugin.hookframe_decision_made(denied(str(number)))
    small_files()


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_what_cannot_be_described_is_a_failure_of_the_journal(keep):
    plugin = keep(required=True)
    odd = Decision(batch("a", level=object()))
    with pytest.raises(JournalError, match="not JSON serializable"):
        plugin.hookframe_decision_made(odd)
    plugin.required = False
    plugin.hookframe_decision_made(odd)
    plugin.journal.flush()
    assert plugin.journal.failures == 2
    assert plugin.journal.lost == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB."""
    room = tmp_path / "room"
    room.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", room], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    yield room
    subprocess.run(["umount", "-l", room], check=True)


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_disk_without_room(small_disk, keep):
    plugin = keep(directory=small_disk / "journal", required=True, flush_seconds=60)
    with pytest.raises(JournalError, match="No space left on device"):
        for number in range(400):
            plugin.hookframe_decision_made(denied(str(number), message="m" * 400))
    assert len(decisions(small_disk / "journal")) == number
    assert [finding.code for finding in verify_journal(small_disk / "journal")[0].findings] == ["unfinished"]
    with pytest.raises(JournalError, match="No space left on device"):
        plugin.close()


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_disk_that_becomes_read_only(small_disk, keep):
    plugin = keep(directory=small_disk / "journal", required=True, flush_seconds=60)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(JournalError, match="Read-only file system"):
        plugin.hookframe_decision_made(denied())
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    plugin.hookframe_decision_made(allowed())
    assert len(decisions(small_disk / "journal")) == 2


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_directory_that_cannot_be_made_is_said_at_once_by_open(tmp_path, keep):
    (tmp_path / "journal").write_text("a file")
    plugin = keep(required=True)
    with pytest.raises(JournalError, match="File exists"):
        plugin.journal.open()
    with pytest.raises(JournalError, match="File exists"):
        plugin.hookframe_decision_made(allowed())
    (tmp_path / "journal").unlink()
    plugin.hookframe_decision_made(allowed())
    assert plugin.journal.failure is None


@pytest.fixture
def not_root():
    """Somebody who may not write everywhere, for the test."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_read_only_directory(keep, journal, request):
    journal.mkdir(mode=0o500)
    plugin = keep(required=True)
    request.getfixturevalue("not_root")
    with pytest.raises(JournalError, match="Permission denied"):
        plugin.journal.open()


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_deleted_directory_is_an_error_and_not_made_again(keep, journal, caplog):
    plugin = keep(required=True)
    plugin.hookframe_decision_made(denied("a"))
    shutil.rmtree(journal)
    with pytest.raises(JournalError, match="No such file"):
        plugin.hookframe_decision_made(denied("b"))
    assert not journal.exists()
    journal.mkdir()
    plugin.hookframe_decision_made(denied("c"))
    assert [entry.requests[0].point for entry in decisions(journal)] == ["b", "c"]
    assert "is given up: its file is no longer there" in caplog.text


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_deleted_segment_is_missed_by_the_one_that_goes_on(keep, journal):
    plugin = keep()
    plugin.hookframe_decision_made(denied("a"))
    gone = plugin.journal.segment
    gone.path.unlink()
    plugin.hookframe_decision_made(denied("b"))
    plugin.close()
    header = next(iter(read_journal(journal)))
    assert header.facts["previous"] == {
        "segment": gone.name,
        "records": gone.number,
        "chain": gone.head,
        "why": "its file is no longer there",
    }
    other, missing = verify_journal(journal)
    assert other.intact
    assert (missing.segment, missing.intact) == (gone.name, False)


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_disk_that_cannot_sync_gives_the_segment_up(keep, journal, monkeypatch):
    plugin = keep()
    plugin.hookframe_decision_made(denied("a"))

    def fails(file):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("hookframe_journal.segment._sync", fails)
        plugin.hookframe_decision_made(denied("b"))
        assert "Input/output error" in str(plugin.journal.failure)
    plugin.hookframe_decision_made(denied("c"))
    plugin.close()
    points = [entry.requests[0].point for entry in decisions(journal)]
    assert sorted(points) in (["a", "b", "b", "c"], ["a", "b", "c"])  # b is in the new segment, and perhaps in the old
    assert all(verification.intact for verification in verify_journal(journal))


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_an_anchor_that_cannot_be_written_is_a_failure_and_tried_again(keep, tmp_path, journal):
    plugin = keep(required=True, anchor=tmp_path / "elsewhere" / "anchors")
    with pytest.raises(JournalError, match="No such file"):
        plugin.hookframe_decision_made(denied("a"))
    (tmp_path / "elsewhere").mkdir()
    plugin.hookframe_decision_made(allowed("b"))
    assert plugin.journal.failure is None
    assert (tmp_path / "elsewhere" / "anchors").read_text().count("\n") == 1
    assert len(decisions(journal)) == 2


def test_a_missing_key_library_is_said_and_refuses_if_required(keep, monkeypatch):
    monkeypatch.setitem(sys.modules, "nacl.public", None)
    plugin = keep(required=True, sealed_to="A" * 43 + "=")
    with pytest.raises(JournalError, match=r"pip install 'hookframe-journal\[sealed\]'"):
        plugin.hookframe_decision_made(allowed() if plugin.journal.failure else denied())
    plugin.journal._waiting.clear()


def test_sealed_to_something_that_is_no_key(keep):
    plugin = keep(sealed_to="hello")
    with pytest.raises(JournalError, match="sealed_to is no key"):
        plugin.journal.open()
    plugin.journal._waiting.clear()


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_without_room_for_a_header_no_file_is_left(keep, journal):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    plugin = keep(required=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(JournalError, match="File too large"):
            plugin.journal.open()
        assert list(journal.iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_torn_anchor_is_taken_back(small_files, keep, tmp_path, journal):
    anchors = tmp_path / "anchors"
    anchors.write_bytes(b" " * 4089 + b"\n")
    plugin = keep(required=True, anchor=anchors)
    with pytest.raises(JournalError, match="No space left"):
        plugin.hookframe_decision_made(denied("a"))
    assert anchors.stat().st_size == 4090
    small_files()
    plugin.journal.flush()
    assert plugin.journal.failure is None
    assert anchors.read_text().endswith("}\n")


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_what_a_signal_handler_records_in_the_midst_of_writing_waits(keep, journal, monkeypatch):
    from hookframe_journal import segment

    plugin = keep(required=True)
    real, told = segment._sync, []

    def interrupted(file):
        if not told:
            told.append(1)
            with pytest.raises(JournalError, match="signal handler"):
                plugin.hookframe_decision_made(denied("from a handler"))
        real(file)

    monkeypatch.setattr(segment, "_sync", interrupted)
    plugin.hookframe_decision_made(denied("first"))
    plugin.hookframe_decision_made(denied("next"))
    plugin.close()
    assert [entry.requests[0].point for entry in decisions(journal)] == ["first", "from a handler", "next"]
    assert verify_journal(journal)[0].findings == ()


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_an_interrupt_in_the_midst_of_writing_gives_the_segment_up(keep, journal, monkeypatch):
    plugin = keep()
    plugin.hookframe_decision_made(denied("a"))
    real = os.write

    def interrupted(file, data):
        real(file, data[:10])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hookframe_journal.segment.os.write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            plugin.hookframe_decision_made(denied("b"))
    plugin.close()
    assert [entry.requests[0].point for entry in decisions(journal)] == ["a", "b"]
    assert all(verification.intact for verification in verify_journal(journal))


def test_without_threads_everything_is_written_at_once(keep, journal, monkeypatch):
    def cannot(thread):
        raise RuntimeError("can't start new thread")

    plugin = keep(flush_seconds=60)
    monkeypatch.setattr("threading.Thread.start", cannot)
    plugin.hookframe_decision_made(allowed("a"))
    assert len(decisions(journal)) == 1


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_the_thread_survives_whatever_goes_wrong(keep, journal, monkeypatch):
    from hookframe_journal.segment import Segment

    def fails(segment, bodies):
        raise RuntimeError("nobody thought of that")

    plugin = keep(flush_seconds=0.02)
    with monkeypatch.context() as patch:
        patch.setattr(Segment, "append", fails)
        plugin.hookframe_decision_made(allowed("a"))
        deadline = time.monotonic() + 20
        while plugin.journal.failures < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    while not decisions_or_none(journal):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert plugin.journal.failure is None or "nobody thought" in str(plugin.journal.failure)


def decisions_or_none(journal):
    return decisions(journal) if list(journal.glob("*.jsonl")) else []


def test_a_fork_that_python_did_not_see_is_noticed(keep, journal):
    plugin = keep()
    plugin.hookframe_decision_made(denied("a"))
    parent = plugin.journal.segment
    plugin.journal._pid = -1
    plugin.hookframe_decision_made(denied("b"))
    assert plugin.journal.segment.name != parent.name
    plugin.close()
    _, own = sorted(verify_journal(journal), key=lambda one: len(one.related))
    assert (own.related, own.findings) == ((parent.name,), ())


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_at_the_end_of_the_process_a_failure_is_logged_and_not_raised(keep, tmp_path, caplog):
    (tmp_path / "journal").write_text("a file")
    plugin = keep()
    plugin.hookframe_decision_made(denied())
    plugin.journal._at_exit()
    assert "ends without what could not be written" in caplog.text


def test_many_different_requests_and_values_do_not_grow_without_end(keep, journal, monkeypatch):
    monkeypatch.setattr("hookframe_journal.segment._MANY", 10)
    plugin = keep(flush_records=1, flush_seconds=60)
    for number in range(1100):
        plugin.hookframe_decision_made(Decision((DeviceRequest(device=f"cuda:{number}", purpose="cache", route="to"),)))
    assert len(plugin._batches) == 1024
    plugin.close()
    assert len({entry.requests for entry in decisions(journal)}) == 1100
    assert verify_journal(journal)[0].findings == ()


@pytest.mark.fault("an exception or an interrupt in the midst of an operation")
def test_an_event_that_cannot_be_described_is_counted_and_does_not_trip(keep, journal):
    plugin = keep(flush_seconds=60)
    for model in (*[object()] * 9, "Fine"):
        plugin.hookframe_hooks_removed(HooksRemoved(model=model, route="handle", points=()))
    plugin.close()
    assert plugin.journal.failures == plugin.journal.lost == 9
    entries = [*read_journal(journal)]
    assert [entry.facts["model"] for entry in entries if entry.kind == "hooks_removed"] == ["Fine"]
    assert [entry.facts["records"] for entry in entries if entry.kind == "lost"] == [9]


# ---- fork and kill ------------------------------------------------------------------------------------------------------


def run(script, *arguments, **options):
    text = textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", text, *map(str, arguments)], **options)


FORKS = """
import os, sys, threading
sys.path.insert(0, sys.argv[2])
from conftest import allowed, denied
from hookframe_journal.plugin import JournalPlugin

plugin = JournalPlugin(sys.argv[1], sealed_to=sys.argv[3] or None, flush_seconds=60)
plugin.hookframe_decision_made(denied("parent"))
plugin.hookframe_decision_made(allowed("waits in the parent"))
child = os.fork()
if child == 0:
    plugin.hookframe_decision_made(denied("child"))
    plugin.close()
    os._exit(0)
os.waitpid(child, 0)
plugin.hookframe_decision_made(allowed("after"))
plugin.close()
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_writes_a_segment_and_a_key_of_its_own(journal):
    from hookframe_journal.sealing import new_key_pair

    private, public = new_key_pair()
    process = run(FORKS, journal, HERE, public)
    assert process.wait(60) == 0
    parent, child = sorted(verify_journal(journal, private=private), key=lambda one: len(one.related))
    assert (parent.findings, child.findings) == ((), ())
    assert child.related == (parent.segment,)
    points = {name: [] for name in (parent.segment, child.segment)}
    for entry in decisions(journal):
        points[entry.segment].append(entry.requests[0].point)
    assert points == {parent.segment: ["parent", "waits in the parent", "after"], child.segment: ["child"]}
    seals = [entry.facts["seal"]["sealed"] for entry in read_journal(journal) if getattr(entry, "kind", "") == "header"]
    assert len(set(seals)) == 2


WORKERS = """
import multiprocessing, sys
sys.path.insert(0, sys.argv[2])
from conftest import allowed
from hookframe_journal.plugin import JournalPlugin

plugin = None

def work(number):
    plugin.hookframe_decision_made(allowed(f"worker {number}"))

if __name__ == "__main__":
    plugin = JournalPlugin(sys.argv[1], flush_seconds=60)
    plugin.hookframe_decision_made(allowed("main"))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
"""


def test_workers_of_multiprocessing_end_their_segments(journal):
    process = run(WORKERS, journal, HERE)
    assert process.wait(60) == 0
    verifications = verify_journal(journal)
    assert [verification.finished for verification in verifications] == [True] * 3
    assert {entry.requests[0].point for entry in decisions(journal)} == {"main", "worker 0", "worker 1"}


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from conftest import allowed, denied
from hookframe_journal.plugin import JournalPlugin

plugin = JournalPlugin(sys.argv[1], flush_seconds=0.05, flush_records=16)
number = 0
while True:
    number += 1
    if number % 5 == 0:
        plugin.hookframe_decision_made(denied(str(number)))
        print(number, flush=True)  # the user hears of it
    else:
        plugin.hookframe_decision_made(allowed(str(number)))
"""


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.fault("a process that is killed")
def test_killed_at_a_random_moment_no_denial_is_missing(seed, journal):
    chance = random.Random(seed)
    process = run(KILLED, journal, HERE, stdout=subprocess.PIPE, text=True)
    heard = [process.stdout.readline()]
    time.sleep(chance.uniform(0, 0.25))
    process.send_signal(signal.SIGKILL)
    heard += process.communicate()[0].splitlines()
    problems = []
    entries = list(read_journal(journal, problems))
    found = [int(entry.requests[0].point) for entry in entries if isinstance(entry, DecisionEntry)]
    assert found == list(range(1, len(found) + 1))  # nothing is missing in between
    assert found[-1] >= int([line for line in heard if line.strip()][-1])
    (verification,) = verify_journal(journal)
    assert verification.intact
    assert {finding.code for finding in verification.findings} <= {"torn", "unfinished"}
    assert len(problems) <= 1
    assert not [entry for entry in entries if isinstance(entry, EventEntry) and entry.kind == "footer"]
