"""What is recorded, and when it is on the disk."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest
import torch

import hookframe
from hookframe import Decision, HookDenied, HookedRootModule, HookPoint, JournalError, Objection, hookimpl, use_plugins
from hookframe.admission.request import (
    CacheRequest,
    DeviceRequest,
    FunctionInfo,
    HookRequest,
    LazyRequests,
    ResetRequest,
    RunRequest,
)
from hookframe.audit import DecisionEntry, EventEntry, read_journal
from hookframe.testing.tiny_model import TinyModel

from .conftest import allowed, batch, denied


def text_of(journal):
    return "".join(file.read_text() for file in sorted(journal.glob("*.jsonl")))


def lines_of(journal):
    return [json.loads(line) for line in text_of(journal).splitlines()]


def decisions(journal):
    problems = []
    found = [entry for entry in read_journal(journal, problems) if isinstance(entry, DecisionEntry)]
    assert problems == []
    return found


def test_a_decision_comes_back_with_all_that_it_was_about(keep, journal):
    requests = batch("blocks.0.hook_z", "blocks.1.hook_z", effect="read", level=2, aliases=("z",))
    objection = Objection.warn(
        requests[1], rule="careful", message="late layer", remedy="use an earlier one", device="cpu"
    )
    decision = Decision(requests, (objection,), errors=(ValueError("secret"),))
    plugin = keep(clock=lambda: 1000.5)
    plugin.hookframe_decision_made(decision)
    plugin.close()
    (entry,) = decisions(journal)
    assert (entry.time, entry.clock, entry.decision.number) == (1000.5, 1000.5, decision.number)
    assert entry.id == f"{plugin.journal.segment.name}:{decision.number}"
    assert entry.objections[0].message == "late layer"
    assert (entry.objections[0].device, entry.objections[0].request.point) == ("cpu", "blocks.1.hook_z")
    assert entry.errors == ("ValueError",)
    assert "secret" not in text_of(journal)
    for was, now in zip(requests, entry.requests, strict=True):
        assert (now.function.module, now.function.qualname, now.function.digest) == (
            "acme.hooks",
            "Probe.look",
            "sha256:1",
        )
        assert (now.point, now.effect, now.level, now.aliases) == (was.point, "read", 2, ("z",))
    assert "/home/me" not in text_of(journal)  # files of functions stay out


@pytest.mark.parametrize(
    "request_",
    [
        CacheRequest(points=("a", "b"), device="cuda:0", gradients=True, estimated_bytes=9, route="run_with_cache"),
        DeviceRequest(device="mps", purpose="model", route="to"),
        ResetRequest(points=("a",), permanent=1, owned=2, route="reset_hooks"),
        RunRequest(never_fired=("a",), bytes_cached=4, unmanaged=("",), route="run_with_hooks"),
    ],
    ids=lambda request: type(request).__name__,
)
def test_every_kind_of_request_comes_back_equal(request_, keep, journal):
    plugin = keep()
    plugin.hookframe_decision_made(Decision((request_,)))
    plugin.hookframe_decision_made(Decision((request_,)))
    plugin.close()
    first, second = decisions(journal)
    assert first.requests == second.requests == (request_,)
    assert text_of(journal).count('"kind":"batch"') == 1


def test_facts_are_kept_by_a_list_and_never_a_tensor(keep, journal):
    facts = {
        "family": ("gpt2",),
        "model.cfg.d_model": 8,
        "model.weight": torch.ones(2),
        "model.text": "x" * 1000,
        "model.scale": float("nan"),
        "secrets.token": "hunter2",
    }
    plugin = keep(facts=("family", "model.*"))
    plugin.hookframe_decision_made(allowed(facts=facts))
    plugin.close()
    (entry,) = decisions(journal)
    assert entry.facts == {"family": ("gpt2",), "model.cfg.d_model": 8}
    assert entry.left_out == ("model.scale", "model.text", "model.weight", "secrets.token")
    assert "hunter2" not in text_of(journal)


def test_a_batch_is_recorded_as_it_was_decided_about(keep, journal):
    plugin, point, function = keep(flush_seconds=60), ["first"], FunctionInfo(module="m", qualname="f")
    requests = LazyRequests(lambda: [HookRequest(index=0, point=point[0], function=function, route="hooks")], 1)
    plugin.hookframe_decision_made(Decision(requests))
    point[0] = "second"
    plugin.close()
    (entry,) = decisions(journal)
    assert [request.point for request in entry.requests] == ["first"]


def test_an_equal_batch_is_written_once_and_other_facts_make_another(keep, journal):
    plugin = keep()
    requests = batch("a", "b")
    plugin.hookframe_decision_made(Decision(requests))
    plugin.hookframe_decision_made(Decision(requests))
    plugin.hookframe_decision_made(Decision(batch("a", "b")))
    requests.memo["facts"] = facts = {"model.class": "Tiny"}
    plugin.hookframe_decision_made(Decision(requests))
    facts["model.class"] = "Other"  # changed in place
    plugin.hookframe_decision_made(Decision(requests))
    for fact in (1, True):
        facts["model.class"] = fact
        plugin.hookframe_decision_made(Decision(requests))
    plugin.close()
    assert text_of(journal).count('"kind":"batch"') == 5
    assert [type(entry.facts["model.class"]) for entry in decisions(journal)[5:]] == [int, bool]
    assert [entry.facts for entry in decisions(journal)][3:5] == [{"model.class": "Tiny"}, {"model.class": "Other"}]


def test_facts_and_the_clock_may_come_from_elsewhere(keep, journal):
    plugin = keep(facts_of=lambda decision: {"family": decision.requests[0].purpose, "device.type": ["a list"]})
    decision = Decision((DeviceRequest(device="mps", purpose="cache", route="to"),))
    plugin.hookframe_decision_made(decision)
    batched = allowed()
    batched.requests.memo["clock"] = 77.0
    plugin._facts_of = None
    plugin.hookframe_decision_made(batched)
    plugin.close()
    first, second = decisions(journal)
    assert (first.facts, first.left_out) == ({"family": "cache"}, ("device.type",))
    assert second.clock == 77.0 < second.time


def test_a_long_list_of_objections_is_written_once(keep, journal):
    plugin = keep()
    for _ in range(3):
        plugin.hookframe_decision_made(denied(*map(str, range(50)), message="m" * 5000))
    plugin.close()
    assert text_of(journal).count('"kind":"objections"') == 1
    assert [len(entry.objections) for entry in decisions(journal)] == [50, 50, 50]
    assert len(decisions(journal)[0].objections[0].message) == 2000


def test_a_whole_run_is_recorded_and_no_text_of_an_exception(keep, journal):
    def breaks(tensor, hook):
        raise ValueError(f"the value was {tensor.flatten()[0].item()}")

    plugin, tokens = keep(), torch.tensor([[1, 2]])
    with use_plugins(plugin):
        model = TinyModel()
        model.run_with_cache(tokens)
        with pytest.raises(ValueError, match="the value was"):
            model.run_with_hooks(tokens, fwd_hooks=[("hook_embed", breaks)])
        model.add_perma_hook("hook_embed", lambda tensor, hook: None)
        model.reset_hooks(including_permanent=True)
    plugin.close()
    entries = list(read_journal(journal))
    kinds = [entry.kind for entry in entries if isinstance(entry, EventEntry)]
    assert kinds[0] == "header"
    assert kinds[-1] == "footer"
    assert set(kinds[1:-1]) == {
        "hooks_added", "hooks_removed", "hooks_reset", "context_entered", "context_exited", "cache_started",
        "cache_finished", "run_finished", "hook_failed",
    }  # fmt: skip
    run = next(entry for entry in entries if getattr(entry, "kind", "") == "run_finished")
    assert run.facts["never_fired"] == ["blocks.0.attn.hook_result", "blocks.0.hook_mlp_in",
                                        "blocks.1.attn.hook_result", "blocks.1.hook_mlp_in"]  # fmt: skip
    started = next(entry for entry in entries if getattr(entry, "kind", "") == "cache_started")
    assert len(started.facts["points"]) == len(model.hook_dict)
    assert "the value was" not in text_of(journal)


def test_the_header_says_who_wrote(keep, journal):
    plugin = keep(run="study-7", rank=3, policy="sha256:p", plugins="sha256:q")
    plugin.journal.open()
    (header,) = lines_of(journal)
    assert (header["run"], header["rank"], header["policy"], header["plugins"]) == (
        "study-7",
        3,
        "sha256:p",
        "sha256:q",
    )
    assert header["versions"]["hookframe"] == hookframe.__version__
    assert header["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert header["segment"] == plugin.journal.segment.name
    assert next(journal.glob("*")).stat().st_mode & 0o777 == 0o600


def test_a_denial_is_on_the_disk_when_it_is_told_and_the_rest_waits(keep, journal):
    plugin = keep(flush_seconds=60)
    plugin.hookframe_decision_made(allowed())
    assert not journal.exists()
    plugin.hookframe_decision_made(denied())
    assert [entry.decision.allowed for entry in decisions(journal)] == [True, False]


def test_what_is_urgent_is_on_the_disk_at_once(keep, journal):
    plugin = keep(flush_seconds=60, urgent=lambda decision: decision.requests[0].point == "now")
    plugin.hookframe_decision_made(allowed("later"))
    assert not journal.exists()
    plugin.hookframe_decision_made(allowed("now"))
    assert len(decisions(journal)) == 2
    plugin.hookframe_decision_made(denied("later"))
    assert len(decisions(journal)) == 3


def test_what_an_exception_lets_through_is_on_the_disk_at_once(keep, journal):
    plugin, requests = keep(flush_seconds=60), batch("a")
    let = Objection(
        request=requests[0],
        rule="r",
        message="m",
        remedy="x",
        action="warn",
        exception="project:study",
        origin="p.toml:3",
    )
    plugin.hookframe_decision_made(Decision(requests, (let,)))
    (entry,) = decisions(journal)
    assert (entry.objections[0].exception, entry.objections[0].origin) == ("project:study", "p.toml:3")


def test_others_wait_for_a_number_of_records(keep, journal):
    plugin = keep(flush_seconds=60, flush_records=3)
    for _ in range(2):
        plugin.hookframe_decision_made(allowed())
    assert not journal.exists()
    plugin.hookframe_decision_made(allowed())
    assert len(decisions(journal)) == 3


def test_others_wait_for_a_time_at_most(keep, journal):
    plugin = keep(flush_seconds=0.05)
    for count in (1, 2):
        plugin.hookframe_decision_made(allowed())
        deadline = time.monotonic() + 10
        while not [*journal.glob("*.jsonl")] or len(decisions(journal)) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_many_threads_write_one_whole_chain(keep, journal):
    from hookframe_journal.verify import verify_journal

    plugin = keep(flush_records=7, flush_seconds=0.001)

    def work():
        for number in range(100):
            plugin.hookframe_decision_made(denied("p") if number % 10 == 0 else allowed("q"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    plugin.close()
    (verification,) = verify_journal(journal)
    assert verification.findings == ()
    assert len(decisions(journal)) == 400


def test_a_closed_journal_says_so_and_closing_again_does_nothing(keep, journal):
    plugin = keep(required=True)
    plugin.hookframe_decision_made(allowed())
    plugin.close()
    plugin.close()
    with pytest.raises(JournalError, match="closed"):
        plugin.hookframe_decision_made(allowed())
    assert [line["kind"] for line in lines_of(journal)] == ["header", "batch", "decision", "footer"]


def test_nothing_recorded_makes_no_file(keep, journal):
    plugin = keep()
    plugin.hookframe_decision_made(Decision(()))
    plugin.close()
    assert not journal.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"run": "../../etc"}, "no name for a run"),
        ({"flush_records": 0}, "at least 1 record"),
        ({"flush_seconds": float("inf")}, "more than 0 s"),
        ({"rank": -1}, "counts from 0"),
    ],
)
def test_settings_that_cannot_be_used_say_so(settings, message, tmp_path):
    from hookframe_journal.plugin import JournalPlugin

    with pytest.raises(JournalError, match=message):
        JournalPlugin(tmp_path, **settings)


class Refuses:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return Objection.deny(requests[0], rule="no", message="no", remedy="go home")


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_x = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_x(x)


def test_a_denial_is_recorded_before_the_user_hears_of_it(keep, journal):
    with use_plugins(keep(flush_seconds=60), Refuses()), pytest.raises(HookDenied, match="go home"):
        Model().add_hook("hook_x", lambda tensor, hook: None)
    assert [entry.decision.denials[0].source for entry in decisions(journal)] == ["Refuses"]


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_wrapper_that_fails_refuses_and_is_recorded(keep, journal):
    class Wraps:
        @hookimpl
        def hookframe_wrap_hook(self, request, hook):
            return "nothing to call" if request.index == 1 else None

    plugin, model = keep(), TinyModel()
    with use_plugins(plugin, Wraps()), pytest.raises(HookDenied, match="cannot be called"):
        model.add_hook(lambda name: name.endswith("hook_z"), lambda tensor, hook: None)
    plugin.close()
    _, refused = decisions(journal)
    assert [request.point for request in refused.requests] == ["blocks.1.attn.hook_z"]
    assert refused.objections[0].request is refused.requests[0]


NATIVE = """
import sys
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, hookimpl, use_plugins

class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_x = HookPoint()
        self.setup()

class Refuses:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return Objection.deny(requests[0], rule="no", message="no", remedy="go home")

class Wraps:
    @hookimpl
    def hookframe_wrap_hook(self, request, hook):
        return "nothing to call"

heard = []
sys.addaudithook(lambda event, args: heard.append(args[0].allowed) if event == "hookframe.decision" else None)
for plugins in [(), (Refuses(),), (Wraps(),)]:
    with use_plugins(*plugins) as manager:
        try:
            Model().add_hook("hook_x", lambda tensor, hook: None)
        except HookDenied:
            pass
manager.consider([], None)
print(heard)
"""


def test_every_decision_is_raised_as_a_native_audit_event():
    done = subprocess.run([sys.executable, "-c", NATIVE], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, False, True, False]\n"  # a wrapper that fails refuses what was allowed
