"""Child processes load the same plugins, and notice when they could not."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from hookframe import PluginManager
from hookframe.admission.request import DeviceRequest
from hookframe.host.installed.rules import LoadingRules
from hookframe.host.running.children import VARIABLE, Announcement, compare_and_announce, digest_of


def default_manager(rules=None, environment=None):
    """The installed plugins, compared with those of the parent process, and announced to children."""
    manager = PluginManager.installed(rules=rules)
    compare_and_announce(manager, ruled=rules is not None, environment=environment)
    return manager


PLUGIN = """
from hookframe import Objection, hookimpl
@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [Objection.deny(r, rule="no", message="refused by an installed plugin", remedy="none") for r in requests]
"""
SCRIPT = """
    import os, sys
    import hookframe
    from hookframe import HookedRootModule, HookPoint

    class Model(HookedRootModule):
        def __init__(self):
            super().__init__(); self.hook_a = HookPoint(); self.setup()
        def forward(self, x): return self.hook_a(x)

    def child(queue):
        try:
            Model().add_hook("hook_a", print)
            queue.put("attached")
        except hookframe.HookDenied as error:
            queue.put(error.decision.denials[0].source)

    if __name__ == "__main__":
        import torch.multiprocessing as multiprocessing
        try:
            Model().add_hook("hook_a", print)
        except hookframe.HookDenied:
            pass
        context = multiprocessing.get_context(sys.argv[1])
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        print(queue.get(timeout=60))
        process.join(60)
"""


@pytest.fixture
def installed(tmp_path):
    """A folder with one installed plugin that denies, and the script."""
    (tmp_path / "denying_plugin.py").write_text(PLUGIN)
    info = tmp_path / "acme_denies-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-denies\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hookframe.plugins]\nacme = denying_plugin\n")
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    return tmp_path


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_that_uses_a_hook_has_the_same_plugins(method, installed):
    environment = {**os.environ, "PYTHONPATH": str(installed), "HOOKFRAME_PLUGINS": "acme-denies"}
    environment.pop(VARIABLE, None)
    done = subprocess.run(
        [sys.executable, "script.py", method],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "acme-denies\n", done.stderr


def other_parent(ruled):
    return {VARIABLE: str(Announcement(pid=os.getpid() + 1, digest="0" * 64, ruled=ruled))}


def refused(manager):
    decision = manager.review_device(DeviceRequest(device="cpu", purpose="model", route="to"), None)
    return [(o.source, o.rule) for o in decision.denials]


def test_a_difference_is_logged_and_no_more_without_rules(caplog):
    manager = default_manager(environment=other_parent(ruled=False))
    assert "this process has other plugins or another policy at work than process" in caplog.text
    assert refused(manager) == []


@pytest.mark.parametrize(("parent", "own"), [(True, None), (False, LoadingRules()), (True, LoadingRules())])
def test_a_difference_refuses_everything_where_rules_are_in_force(parent, own):
    manager = default_manager(own, environment=other_parent(parent))
    assert refused(manager) == [("hookframe", "required-plugin")]
    (record,) = manager.unfulfilled
    assert record.step == "inheritance"
    assert "same environment" in record.repair


def test_the_same_plugins_are_no_difference():
    first: dict[str, str] = {}
    default_manager(environment=first)
    announced = Announcement.read(first[VARIABLE])
    assert announced == Announcement(pid=os.getpid(), digest=announced.digest, ruled=False)
    child = {VARIABLE: str(Announcement(pid=os.getpid() + 1, digest=announced.digest, ruled=True))}
    assert refused(default_manager(LoadingRules(), environment=child)) == []


def test_the_digest_tells_plugins_apart():
    manager = default_manager(environment={})
    assert digest_of(manager.records) == digest_of(reversed(manager.records))
    assert digest_of(manager.records) != digest_of(manager.records[1:])


@pytest.mark.parametrize(
    "text", [None, "", "x", "1:2", "1:" + "0" * 64, "a:" + "0" * 64 + ":1", "1:" + "0" * 64 + ":2"]
)
def test_an_announcement_that_is_none_is_no_parent(text):
    assert Announcement.read(text) is None
