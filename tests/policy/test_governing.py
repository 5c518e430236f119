"""A policy in force: what it loads, requires and configures, and that nobody lifts it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

import hookframe
from hookframe import HookDenied, Objection, PluginManager, hookimpl
from hookframe.host.running.children import VARIABLE, Announcement
from hookframe.host.running.treatment import Treatment
from hookframe.policy.files.layers import LayerPlaces
from hookframe.policy.in_force.engine import PolicyEngine
from hookframe.policy.in_force.found import read_layers
from hookframe.policy.in_force.governing import govern, governed_manager, managed_layers, options_of, treatments_of
from hookframe.policy.in_force.refusals import refusals_of
from tests.policy.conftest import BARE

CONFIGURED = """
from hookframe import Objection, hookimpl

limit = None


@hookimpl
def hookframe_configure(config):
    global limit
    limit = config.options.get("limit")


@hookimpl
def hookframe_check_hooks_to_add(requests):
    if limit is None:
        raise RuntimeError("without a limit")
    return [Objection.deny(r, rule="limit", message=f"limit {limit}", remedy="none") for r in requests]
"""
FAILS = """
from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    raise RuntimeError("broken")
"""
SLOW = """
import time
from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    time.sleep(30)
"""
REQUIRES = 'schema = 1\n[loading]\nrequire = ["acme-guard"]\n'
NONE = "schema = 1\n"


def look(tensor, hook):
    return None


def reasons(model, manager=None):
    """Who refuses a hook on ``model``, and with which rule; empty if nobody does."""
    manager = manager or governed_manager()
    decision = manager.review_hooks(REQUESTS(), model)
    manager.close()
    return [(o.source, o.rule, str(o.action)) for o in decision.objections]


def REQUESTS():
    from hookframe.testing import RequestBuilder

    return RequestBuilder().batch("hook_embed")


def refusal(model):
    with pytest.raises(HookDenied) as refused:
        model.add_hook("hook_embed", look)
    return [(o.source, o.rule) for o in refused.value.decision.denials]


# ---- what the policy says of plugins ----------------------------------------------------------------


def test_the_policy_decides_which_plugins_load(places, site):
    for name in ("acme-one", "acme-two", "acme-three"):
        site.normal(name)
    places.write("machine", 'schema = 1\n[loading]\nallow = ["acme-one", "acme-two"]\ndeny = ["acme-two"]')
    states = {r.name: str(r.state) for r in governed_manager().records if r.name.startswith("acme")}
    assert states == {"acme-one": "loaded", "acme-two": "blocked", "acme-three": "blocked"}


def test_pins_hold(places, site):
    site.normal("acme-one")
    places.write("user", 'schema = 1\n[plugins.acme-one]\nversion = ">=2"')
    (record,) = (r for r in governed_manager().records if r.name == "acme-one")
    assert (str(record.state), record.step) == ("blocked", "version")


def test_a_missing_required_plugin_refuses_everything(places, model):
    places.write("machine", REQUIRES)
    assert reasons(model) == [("hookframe", "required-plugin", "deny")]


def test_options_come_from_the_layers(places, site, model):
    site.normal("acme-guard", CONFIGURED)
    places.write("machine", REQUIRES + "[plugins.Acme_Guard.options]\nlimit = 3\nother = 1")
    places.write("user", "schema = 1\n[plugins.acme-guard.options]\nlimit = 4")
    manager = governed_manager()
    assert dict(manager.options_of("acme-guard")) == {"limit": 4, "other": 1}
    assert reasons(model, manager) == [("acme-guard", "limit", "deny")]


@pytest.mark.parametrize(
    ("failure", "required", "expected"),
    [
        ("deny", False, [("acme-guard", "plugin-failed", "deny")]),
        ("warn", False, [("acme-guard", "plugin-failed", "warn")]),
        ("warn", True, [("acme-guard", "plugin-failed", "deny")]),
    ],
)
@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_what_a_failing_validator_does(places, site, model, failure, required, expected):
    site.normal("acme-guard", FAILS)
    text = (REQUIRES if required else NONE) + f'[plugins.acme-guard]\nfailure = "{failure}"'
    places.write("machine", text)
    assert reasons(model) == expected


def test_isolation_and_time_limit(places, site, model, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(site.root))
    site.normal("acme-guard", SLOW)
    places.write("machine", 'schema = 1\n[plugins.acme-guard]\nisolation = "process"\ntime_limit = 3')
    manager = governed_manager()
    manager._isolated["acme-guard"].limit = 0.2  # it has started within the 3 seconds; do not wait for them again
    assert reasons(model, manager) == [("acme-guard", "plugin-failed", "deny")]
    (record,) = (r for r in manager.records if r.name == "acme-guard")
    assert record.reason == "loaded in a process of its own"


def test_treatments_as_values(policy):
    text = """
        schema = 1
        [plugins.acme-guard]
        failure = "warn"
        time_limit = 2
        [plugins.acme-guard.options]
        failure = "x"
        [plugins.options]
        isolation = "process"
        [plugins.options.options]
        options = 1
        """
    made = policy(text)
    assert treatments_of(made) == {
        "acme-guard": Treatment(failure="warn", time_limit=2.0),
        "options": Treatment(isolation="process"),
    }
    assert options_of(made) == {"acme-guard": {"failure": "x"}, "options": {"options": 1}}


@pytest.mark.parametrize(
    ("name", "versions", "text"),
    [
        ("pluggy", ">=99", "the policy requires pluggy>=99, and 1."),
        ("Not_There", "==1", "the policy requires not-there==1, and it is not installed"),
        ("acme-odd", ">=1", "the policy requires acme-odd>=1, and junk is installed"),
        ("pluggy", ">=1", None),
        ("acme-pre", ">=1", None),
    ],
)
def test_required_versions(places, site, model, name, versions, text):
    site.normal("acme-odd", version="junk", entry_points={})
    site.normal("acme-pre", version="2.0a1", entry_points={})
    path = places.write("machine", f'schema = 1\nrequire = {{ {name} = "{versions}" }}')
    found = refusals_of(read_layers(LayerPlaces.standard()))
    assert [o.message.startswith(text) for o in found] == ([True] if text else [])
    if text:
        (objection,) = governed_manager().review_hooks(REQUESTS(), model).denials
        assert (objection.rule, objection.origin) == ("required-version", f"machine policy, {path}:2")
        assert objection.remedy.startswith("pip install '")


# ---- nobody lifts it --------------------------------------------------------------------------------


def test_without_a_policy_nothing_is_asked(places, model):
    assert not managed_layers()
    manager = governed_manager()
    assert not any(isinstance(plugin, PolicyEngine) for plugin in manager.plugins)
    govern(manager, managed_layers())
    assert reasons(model, manager) == []


class Policy:
    """A plugin that happens to be called so."""

    @hookimpl
    def hookframe_check_device(self, request):
        return None


class Lenient:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return None


def named(name):
    return SimpleNamespace(__name__=name)


CHOSEN = {
    "none": lambda policy: (),
    "one of one's own": lambda policy: (Lenient(),),
    "one called policy": lambda policy: (named("policy"),),
    "two called policy and journal": lambda policy: (named("policy"), named("journal")),
    "a manager": lambda policy: (PluginManager(Lenient()),),
    "a manager of what is installed": lambda policy: (PluginManager.installed(),),
    "another policy": lambda policy: (PolicyEngine(policy(machine=NONE)),),
    "a manager with another policy": lambda policy: (PluginManager(PolicyEngine(policy(machine=NONE, user=BARE))),),
}


@pytest.mark.parametrize("kind", ["machine", "organisation"])
@pytest.mark.parametrize("chosen", CHOSEN)
@pytest.mark.parametrize("listed", ["all", "none", "other"])
def test_plugins_of_ones_own_choice_lift_nothing(places, wheel, policy, model, monkeypatch, kind, chosen, listed):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", listed)
    text = BARE + 'effect = "edit"'
    wheel(text) if kind == "organisation" else places.write(kind, text)
    with hookframe.use_plugins(*CHOSEN[chosen](policy)) as manager:
        assert (kind + ":r") in {rule for _, rule in refusal(model)}
        engines = [plugin for plugin in manager.plugins if isinstance(plugin, PolicyEngine)]
        assert len(engines) == 1 + ("another policy" in chosen)
        with hookframe.use_plugins(manager):  # once more asks no more often
            assert len([p for p in manager.plugins if isinstance(p, PolicyEngine)]) == len(engines)
            assert "r" in str(refusal(model))


def test_an_installed_plugin_called_policy_keeps_the_policy_not_out(places, site, model):
    site.normal("policy", "")
    site.normal("journal", "")
    places.write("machine", BARE)
    manager = governed_manager()
    names = {record.name: record.reason.partition(":")[0] for record in manager.records}
    assert names["policy#2"] == "the policy in force"
    assert names["policy"].startswith("installed and imported")
    assert reasons(model, manager) == [("policy#2", "machine:r", "deny")]


def test_layers_of_the_person_are_left_behind_by_plugins_of_their_choice(places, model):
    places.write("user", BARE)
    places.write("project", BARE)
    assert [rule for _, rule, _ in reasons(model)] == ["project:r", "user:r"]
    with hookframe.use_plugins():
        model.add_hook("hook_embed", look)


@pytest.mark.parametrize("listed", ["all", "none", "other", "acme-guard"])
def test_a_required_plugin_is_asked_whatever_plugins_are_chosen(places, site, model, monkeypatch, listed):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", listed)
    site.normal("acme-guard", CONFIGURED)
    places.write("machine", REQUIRES + "[plugins.acme-guard.options]\nlimit = 3")
    with hookframe.use_plugins():
        assert refusal(model) == [("acme-guard", "limit")]  # configured as the policy says, else it would fail
    with hookframe.use_plugins(PluginManager.installed()):
        loaded = listed in ("all", "acme-guard")
        assert refusal(model)[0] == (("acme-guard", "plugin-failed") if loaded else ("hookframe", "required-plugin"))
    with hookframe.use_plugins(governed_manager()):
        loaded = listed in ("all", "acme-guard")
        assert refusal(model) == [("acme-guard", "limit") if loaded else ("hookframe", "required-plugin")]


def test_a_person_can_leave_out_what_is_not_required(places, site, model):
    site.normal("acme-guard")
    places.write("machine", NONE)
    assert reasons(model, governed_manager(without=["acme-guard"])) == []
    places.write("machine", REQUIRES)
    assert reasons(model, governed_manager(without=["acme-guard"])) == [("hookframe", "required-plugin", "deny")]


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_lenient_plugin_that_is_required_from_now_on_refuses_when_it_fails(places, site, model):
    site.normal("acme-guard", FAILS)
    manager = PluginManager.installed(treatments={"acme-guard": Treatment(failure="warn")})
    for _ in range(7):
        assert all(action == "warn" for _, _, action in reasons(model, manager))
    assert reasons(model, manager) == []  # tripped, and left out
    places.write("machine", REQUIRES)
    with hookframe.use_plugins(manager):
        assert refusal(model) == [("acme-guard", "plugin-failed")]


def test_the_treatment_of_a_required_plugin_holds_for_chosen_plugins(places, site, model, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(site.root))
    site.normal("acme-guard")
    places.write("machine", REQUIRES + '[plugins.acme-guard]\nisolation = "process"')
    with hookframe.use_plugins() as manager:
        assert refusal(model) == [("acme-guard", "no")]
        assert list(manager._isolated) == ["acme-guard"]
        manager.close()


def test_a_denial_of_the_policy_and_one_of_a_plugin_are_both_told(places, model):
    class Denies:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return Objection.deny(requests[0], rule="mine", message="m", remedy="r")

    places.write("machine", BARE)
    with hookframe.use_plugins(Denies()):
        assert refusal(model) == [("Denies", "mine"), ("policy", "machine:r")]


# ---- child processes --------------------------------------------------------------------------------


def parent(digest="0" * 64, ruled=False):
    return str(Announcement(pid=os.getpid() + 1, digest=digest, ruled=ruled))


def announced():
    return Announcement.read(os.environ[VARIABLE])


@pytest.mark.parametrize(
    ("own", "ruled", "refuses"),
    [("machine", False, True), ("user", False, False), ("user", True, True), (None, True, True)],
)
def test_a_child_under_another_policy_refuses_where_one_is_managed(
    places, model, monkeypatch, caplog, own, ruled, refuses
):
    if own:
        places.write(own, NONE)
    monkeypatch.setenv(VARIABLE, parent(ruled=ruled))
    expected = [("hookframe", "required-plugin", "deny")] if refuses else []
    assert reasons(model) == expected
    assert "other plugins or another policy at work" in caplog.text


def test_the_same_policy_is_no_difference_and_another_one_is(places, model, monkeypatch):
    places.write("machine", NONE)
    governed_manager()
    first = announced()
    assert first.ruled
    for text, expected in [(NONE, []), (NONE + "# changed", [("hookframe", "required-plugin", "deny")])]:
        places.write("machine", text)
        monkeypatch.setenv(VARIABLE, parent(first.digest, ruled=True))
        assert reasons(model) == expected


ASK = """
    import subprocess, sys
    import hookframe
    from hookframe.admission.controller import current_controller

    request = hookframe.DeviceRequest(device="mps", purpose="model", route="to")
    print([o.rule for o in current_controller().review_device(request, None).denials])
    assert "torch" not in sys.modules
"""
PARENT = """
    import os
    for path in sys.argv[1:]:
        environment = {**os.environ, "PYTHONPATH": path}
        subprocess.run([sys.executable, "child.py"], env=environment, check=True)
"""


def test_a_child_process_that_loses_the_organisations_policy_refuses(places, wheel, site):
    wheel(BARE + 'where = "device"\ndevices = ["cuda"]')
    for name, text in (("child.py", ASK), ("parent.py", ASK + PARENT)):
        (places.root / "work" / name).write_text(textwrap.dedent(text))
    environment = {**os.environ, "PYTHONPATH": str(site.root), "PYTHONUNBUFFERED": "1"}
    environment.pop(VARIABLE, None)
    done = subprocess.run(
        [sys.executable, "parent.py", str(site.root), str(places.root)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["[]", "[]", "['required-plugin']"], done.stderr
