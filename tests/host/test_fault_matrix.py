"""The fault matrix: what goes wrong by required or not by kind of plugin; named, as configured, and the model works after."""

from __future__ import annotations

import textwrap

import pytest

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, PluginManager
from hookframe.host.rules import LoadingRules

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
REFUSES = {  # a validator or a provider that fails refuses; an observer changes nothing
    ("validator", call): True for call in CALLS
} | {("observer", call): False for call in CALLS} | {("provider", call): True for call in CALLS}  # fmt: skip


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_a = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_a(x)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write a distribution whose plugin is ``source``, and return a manager of the installed plugins."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HOOKFRAME_PLUGINS", NAME)

    def start(source, required):
        module = f"acme_faulty_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / "acme_faulty-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[hookframe.plugins]\nacme = {module}\n")
        rules = LoadingRules(require=frozenset({NAME} if required else ()))
        return PluginManager.installed(rules=rules)

    return start


def attach(model):
    return model.add_hook("hook_a", lambda tensor, hook: tensor + 1)


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", SPECS)
def test_a_fault_at_call(kind, call, required, install, caplog):
    source = HEAD + "def recurse(requests): return recurse(requests)\n" + f"@hookimpl\n{SPECS[kind]}    {CALLS[call]}\n"
    model = Model()
    with hookframe.use_plugins(install(source, required)):
        if REFUSES[kind, call]:
            with pytest.raises(HookDenied, match=NAME):
                attach(model)
            assert not model.hook_a.has_hooks()
            assert model(1) == 1
        else:
            attach(model)
            assert model(1) == 2
            if call != "returns junk":  # what an observer returns is ignored
                assert NAME in caplog.text
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
