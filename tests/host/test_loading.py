"""Installed plugins: found by metadata, loaded at the first hook, each failure named and alone."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import hookframe
from hookframe import PluginManager
from hookframe.host.installed.inventory import installed_plugins
from hookframe.host.installed.survey import survey

SOUND = """
from hookframe import Objection, hookimpl
@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [Objection.deny(r, rule="no", message="refused by an installed plugin", remedy="none") for r in requests]
"""
BROKEN = "raise ImportError('a library is missing')\n"
EXITS = "raise SystemExit(9)\n"
TYPO = "from hookframe import hookimpl\n@hookimpl\ndef hookframe_check_hook(requests): pass\n"
FAILS = "from hookframe import hookimpl\n@hookimpl\ndef hookframe_configure(config): raise OSError('no disk')\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a fake distribution with one plugin module, by writing its files."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, source, version="1.0", module=None):
        module = module or f"plugin_{name.replace('-', '_')}"
        monkeypatch.delitem(sys.modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[hookframe.plugins]\n{name} = {module}\n")
        return module

    return write


def states(manager):
    return {record.name: str(record.state) for record in manager.records}


def test_installed_plugins_are_found_without_importing_them(install):
    module = install("acme-rules", SOUND)
    assert "acme-rules" in [candidate.name for candidate in installed_plugins()]
    assert "acme-rules" in [record.name for record in survey().records]
    assert module not in sys.modules


def test_an_installed_plugin_is_loaded_and_asked(install):
    install("acme-rules", SOUND)
    with hookframe.use_plugins(PluginManager.installed()) as manager:
        assert states(manager)["acme-rules"] == "loaded"
        with pytest.raises(hookframe.HookDenied, match="by acme-rules, rule 'no'"):
            hookframe.HookPoint().add_hook(print)


@pytest.mark.parametrize(
    ("source", "state", "reason"),
    [
        (BROKEN, "broken", "importing it raised ImportError: a library is missing"),
        (EXITS, "broken", "importing it raised SystemExit: 9"),
        (TYPO, "incompatible", "hookframe_check_hook, which is no spec of this hookframe"),
        (FAILS, "broken", "failed while it was registered: no disk"),
    ],
)
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_plugin_that_fails_is_recorded_and_harms_no_other(source, state, reason, install):
    install("acme-bad", source)
    install("acme-rules", SOUND)
    manager = PluginManager.installed()
    (bad,) = [record for record in manager.records if record.name == "acme-bad"]
    assert bad.state == state
    assert reason in bad.reason
    assert states(manager)["acme-rules"] == "loaded"


def test_the_variable_leaves_plugins_out(install, monkeypatch, caplog):
    install("acme-rules", SOUND)
    install("acme-other", SOUND)
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "Acme_Other, acme-missing")
    manager = PluginManager.installed()
    assert states(manager)["acme-other"] == "loaded"
    assert states(manager)["acme-rules"] == "disabled"
    assert states(manager)["acme-missing"] == "missing"
    assert "plugin acme-missing is missing: is named in HOOKFRAME_PLUGINS" in caplog.text
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "none")
    assert set(states(PluginManager.installed()).values()) == {"disabled"}


def test_a_name_can_be_left_out_by_hand(install):
    install("acme-rules", SOUND)
    manager = PluginManager.installed(without=["ACME.rules"])
    (record,) = [record for record in manager.records if record.name == "acme-rules"]
    assert (record.state, record.reason) == ("disabled", "left out on the command line")


def test_plugins_are_loaded_at_the_first_hook_and_not_before(install, tmp_path):
    install("acme-rules", SOUND)
    script = """
        import sys, hookframe
        from hookframe import HookedRootModule, HookPoint
        class Model(HookedRootModule):
            def __init__(self):
                super().__init__(); self.hook_a = HookPoint(); self.setup()
            def forward(self, x): return self.hook_a(x)
        model = Model(); model(1)
        assert "plugin_acme_rules" not in sys.modules, "loaded too early"
        try:
            model.add_hook("hook_a", print)
        except hookframe.HookDenied as error:
            assert "plugin_acme_rules" in sys.modules
            print("denied:", error.decision.denials[0].source)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": str(tmp_path), "HOOKFRAME_PLUGINS": "acme-rules"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "denied: acme-rules\n"
