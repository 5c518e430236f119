"""The fault matrix: what goes wrong, by kind of plugin, required or not, and what the policy wants done about it.

Everywhere the outcome is as configured, the plugin is named, and the model works after. The second half is the same in a
process of its own, which the policy chooses.
"""

from __future__ import annotations

import textwrap
import time

import pytest

import hookframe
from hookframe import HookDenied, HookedRootModule, HookObjectionWarning, HookPoint
from hookframe.policy.files.layers import LayerPlaces
from hookframe.policy.in_force.found import read_layers
from hookframe.policy.in_force.governing import plugins_under

pytestmark = pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")

NAME = "acme-faulty"
HEAD = "import sys\nfrom hookframe import hookimpl\n"
SPECS = {
    "validator": "def hookframe_check_hooks_to_add(requests, model=None):\n",
    "observer": "def hookframe_hooks_added(event):\n    requests = event.requests\n    model = None\n",
    "provider": "def hookframe_wrap_hook(request, hook):\n    requests = (request,)\n    model = None\n",
}
CALLS = {
    "raises": "raise ZeroDivisionError('division')",
    "exits": "sys.exit(3)",
    "returns junk": "return 7",
    "changes what it was given": "requests[0].point = 'elsewhere'",
    "recurses": "return recurse(requests)",
}
IMPORTS = {
    "raises at import": ("raise ImportError('a library is missing')\n", "broken"),
    "exits at import": ("raise SystemExit(9)\n", "broken"),
    "raises at registration": (
        HEAD + "@hookimpl\ndef hookframe_configure(config):\n    raise OSError('no disk')\n",
        "broken",
    ),
    "implements no spec of ours": (HEAD + "@hookimpl\ndef hookframe_check_everything(): pass\n", "incompatible"),
}
FAILURES = ("deny", "warn")
WITHOUT_OUTCOME = {("observer", "returns junk")}  # what an observer returns is ignored


def outcome(kind, required, failure):
    """``refused`` for whatever fails and decides; an observer changes nothing, and some validators only warn."""
    if kind == "observer":
        return "allowed"
    return "warned of" if kind == "validator" and failure == "warn" and not required else "refused"


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_a, self.hook_b = HookPoint(), HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_b(self.hook_a(x))


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write a distribution whose plugin is ``source``, and return the plugins under a policy that treats it so."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HOOKFRAME_PLUGINS", NAME)
    started = []

    def start(source, required, failure="deny", isolation="none", time_limit=20):
        module = f"acme_faulty_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / "acme_faulty-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[hookframe.plugins]\nacme = {module}\n")
        policy = tmp_path / "policy.toml"
        policy.write_text(
            f"schema = 1\n[loading]\nrequire = {[NAME] if required else []}\n"
            f'[plugins.{NAME}]\nfailure = "{failure}"\nisolation = "{isolation}"\ntime_limit = {time_limit}\n'
        )
        found = read_layers(LayerPlaces(machine=policy, user=tmp_path / "none"))
        assert not found.unreadable
        started.append(plugins_under(found))
        return started[-1]

    yield start
    for manager in started:
        manager.close()


def attach(model, point="hook_a"):
    return model.add_hook(point, lambda tensor, hook: tensor + 1)


def expect(outcome, model, point="hook_a"):
    """Attach a hook to ``point``: the outcome is this one, names the plugin, and leaves a model that works."""
    if outcome == "refused":
        with pytest.raises(HookDenied, match=NAME):
            attach(model, point)
        assert not model.mod_dict[point].has_hooks()
        assert model(1) == 1
        return
    if outcome == "warned of":
        with pytest.warns(HookObjectionWarning, match=NAME):
            handle = attach(model, point)
    else:
        handle = attach(model, point)
    assert model(1) == 2
    handle.remove()


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", SPECS)
def test_a_fault_at_call(kind, call, required, failure, install, caplog):
    source = HEAD + "def recurse(requests): return recurse(requests)\n" + f"@hookimpl\n{SPECS[kind]}    {CALLS[call]}\n"
    model = Model()
    with hookframe.use_plugins(install(source, required, failure)):
        expect(outcome(kind, required, failure), model)
        if kind == "observer":
            assert (NAME in caplog.text) is ((kind, call) not in WITHOUT_OUTCOME)
    attach(Model())  # and without the plugin everything is open again


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("fault", IMPORTS)
def test_a_fault_while_loading(fault, required, install, caplog):
    source, state = IMPORTS[fault]
    model = Model()
    manager = install(source, required)
    assert {record.name: str(record.state) for record in manager.records}[NAME] == state
    assert NAME in caplog.text
    with hookframe.use_plugins(manager):
        if required:
            with pytest.raises(HookDenied, match=f"the required plugin '{NAME}' is {state}") as refusal:
                attach(model)
            assert refusal.value.decision.denials[0].remedy
            assert model(1) == 1
        else:
            attach(model)
            assert model(1) == 2


# ---- in a process of its own ----------------------------------------------------------------------------------------

ISOLATED = {
    **CALLS,
    "ends its process": "os._exit(3)",
    "closes its streams": "os.close(0); os.close(1); time.sleep(60)",
    "hangs": "time.sleep(60)",
}
AT_ONCE = tuple(fault for fault in ISOLATED if "sleep" not in ISOLATED[fault])


def dispatching(faults):
    """A validator with a fault for each point name, and none for the others."""
    lines = [f"if requests[0].point == {point!r}: {ISOLATED[fault]}" for point, fault in faults.items()]
    body = textwrap.indent("\n".join([*lines, "if requests[0].point == 'hook_slow': time.sleep(0.3)"]), "    ")
    head = HEAD + "import os, time\ndef recurse(requests): return recurse(requests)\n"
    return f"{head}@hookimpl\ndef hookframe_check_hooks_to_add(requests):\n{body}\n"


class Faulting(HookedRootModule):
    """A model with a point for each fault, one that the plugin is slow about, and one that it has nothing against."""

    def __init__(self):
        super().__init__()
        self.points = {f"hook_{number}": fault for number, fault in enumerate(ISOLATED)}
        for point in (*self.points, "hook_slow", "hook_fine"):
            self.add_module(point, HookPoint())
        self.setup()

    def forward(self, x):
        for point in self.hook_dict.values():
            x = point(x)
        return x


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("required", [False, True])
def test_a_fault_in_a_process_of_its_own(required, failure, install):
    model = Faulting()
    manager = install(dispatching(model.points), required, failure, isolation="process")
    (record,) = (record for record in manager.records if record.name == NAME)
    assert (record.state, record.reason) == ("loaded", "loaded in a process of its own")
    with hookframe.use_plugins(manager):
        for point, fault in model.points.items():
            if fault in AT_ONCE:
                expect(outcome("validator", required, failure), model, point)
                expect("allowed", model, "hook_fine")  # the process is there again
        expect("allowed", model, "hook_slow")


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("fault", [fault for fault in ISOLATED if fault not in AT_ONCE])
def test_what_hangs_in_a_process_of_its_own_is_cut_off_at_the_time_limit(fault, required, failure, install):
    model = Faulting()
    manager = install(dispatching(model.points), required, failure, isolation="process", time_limit=4)
    point = next(point for point, there in model.points.items() if there == fault)
    with hookframe.use_plugins(manager):
        started = time.monotonic()
        expect(outcome("validator", required, failure), model, point)
        assert time.monotonic() - started < 30  # and not the minute that it sleeps
    attach(Model())


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("kind", ["observer", "provider"])
def test_what_cannot_be_isolated_is_broken(kind, required, install, caplog):
    source = f"{HEAD}@hookimpl\n{SPECS[kind]}    return None\n"
    model = Model()
    manager = install(source, required, isolation="process")
    assert "only validators can be isolated" in next(r.reason for r in manager.records if r.name == NAME)
    assert NAME in caplog.text
    with hookframe.use_plugins(manager):
        expect("refused" if required else "allowed", model)


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("fault", IMPORTS)
def test_a_fault_while_loading_in_a_process_of_its_own(fault, required, install):
    source, _ = IMPORTS[fault]
    model = Model()
    manager = install(source, required, isolation="process")
    assert next(str(r.state) for r in manager.records if r.name == NAME) == "broken"
    with hookframe.use_plugins(manager):
        expect("refused" if required else "allowed", model)


def test_what_hangs_while_it_is_imported_in_a_process_of_its_own_is_broken(install):
    manager = install(f"import time\ntime.sleep(60)\n{HEAD}", required=True, isolation="process", time_limit=1)
    (record,) = manager.unfulfilled
    assert (record.name, record.state) == (NAME, "broken")
    assert "did not answer within 1" in record.reason
    with hookframe.use_plugins(manager):
        expect("refused", Model())
