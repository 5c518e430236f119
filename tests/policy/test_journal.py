"""A policy that keeps a journal needs the plugin that writes it: it loads whatever anybody says, or every hook is refused."""

from __future__ import annotations

import pytest
from importlib_metadata import distributions

import hookframe
from hookframe import HookDenied, PluginManager
from hookframe.audit.entries import DecisionEntry, EventEntry
from hookframe.audit.reading import read_journal
from hookframe.host.installed.rules import LoadingRules
from hookframe.policy.in_force.governing import governed_manager, options_of, treatments_of
from hookframe.policy.in_force.journalling import JOURNAL

KEEPS = 'schema = 1\n[journal]\ndirectory = "journal"\n'
REQUIRES = KEEPS + "required = true\n"


def look(tensor, hook):
    return None


def record_of(manager):
    (record,) = (record for record in manager.records if record.distribution == JOURNAL)
    return record


def recorded(directory, manager):
    """The verdicts in the journal there."""
    manager.plugin(JOURNAL).close()
    return [entry.decision.allowed for entry in read_journal(directory) if isinstance(entry, DecisionEntry)]


@pytest.fixture
def without_journal(monkeypatch):
    """An environment in which the plugin is not installed."""
    found = [one for one in distributions() if one.metadata["Name"] != JOURNAL]
    monkeypatch.setattr("hookframe.host.installed.inventory.distributions", lambda: found)


# ---- the plugin is not there ------------------------------------------------------------------------


@pytest.mark.parametrize("text", [KEEPS, REQUIRES, "schema = 1\n[journal]\nrequired = true\n"])
@pytest.mark.parametrize("chosen", [True, False])
def test_without_the_plugin_every_hook_is_refused_with_the_command_that_installs_it(
    places, model, without_journal, text, chosen
):
    path = places.write("machine", text)
    with hookframe.use_plugins(*(() if chosen else (governed_manager(),))), pytest.raises(HookDenied) as refused:
        model.add_hook("hook_embed", look)
    (denial,) = refused.value.decision.denials
    assert denial.message.startswith(
        f"the required plugin 'hookframe-journal' is missing: the policy keeps a journal (machine policy, {path}:3), "
        "and the plugin is not installed"
    )
    assert denial.remedy == "pip install hookframe-journal"


def test_a_journal_that_nobody_asks_for_needs_no_plugin(places, model, without_journal):
    places.write("machine", 'schema = 1\n[journal]\nrequired = false\nfacts = ["model.*"]\n')
    model.admission_controller = governed_manager()
    model.add_hook("hook_embed", look)


# ---- nobody leaves it out ---------------------------------------------------------------------------

WEAKER = {
    "nothing": "",
    "denied": '[loading]\ndeny = ["hookframe-journal"]',
    "not allowed": "[loading]\nallow = []",
    "pinned": '[plugins.hookframe-journal]\nversion = ">=99"\norigin = "index"',
    "isolated": '[plugins.hookframe-journal]\nisolation = "process"\nfailure = "warn"',
    "redirected": '[plugins.hookframe-journal.options]\ndirectory = "/nowhere"\n[journal]\ndirectory = "elsewhere"',
}


@pytest.mark.parametrize("listed", ["all", "none", "other"])
@pytest.mark.parametrize("weaker", WEAKER)
def test_a_weaker_layer_and_a_person_cannot_leave_it_out(places, model, monkeypatch, weaker, listed):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", listed)
    places.write("machine", KEEPS + '[loading]\nallow = ["acme"]')
    places.write("user", "schema = 1\n" + WEAKER[weaker])
    model.admission_controller = manager = governed_manager(without=[JOURNAL])
    model.add_hook("hook_embed", look)
    assert recorded(places.root / "etc" / "journal", manager) == [True]


CHOSEN = {
    "none": PluginManager,
    "what is installed": PluginManager.installed,
    "all but it": lambda: PluginManager.installed(rules=LoadingRules(deny=frozenset({JOURNAL}))),
    "one that keeps another": lambda: PluginManager.installed(options={JOURNAL: {"directory": "mine"}}),
}


@pytest.mark.parametrize("listed", ["all", "none"])
@pytest.mark.parametrize("chosen", CHOSEN)
def test_plugins_of_ones_own_choice_keep_the_policys_journal(places, model, monkeypatch, chosen, listed):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", listed)
    places.write("machine", REQUIRES)
    with hookframe.use_plugins(CHOSEN[chosen]()) as manager:
        model.add_hook("hook_embed", look)
        with hookframe.use_plugins(manager):  # once more keeps no second one
            model.add_hook("hook_embed", look)
    assert recorded(places.root / "etc" / "journal", manager) == [True, True]
    assert not (places.root / "work" / "mine").exists()


def test_taking_it_away_refuses(places, model):
    places.write("machine", KEEPS)
    with hookframe.use_plugins() as manager:
        model.add_hook("hook_embed", look)
        manager.unregister(JOURNAL)
        with pytest.raises(HookDenied, match="hookframe-journal.*is no longer registered"):
            model.add_hook("hook_embed", look)


def test_a_stronger_layer_can_keep_it_out_and_then_every_hook_is_refused(places, model):
    places.write("machine", 'schema = 1\n[loading]\ndeny = ["hookframe-journal"]')
    places.write("user", KEEPS)
    model.admission_controller = governed_manager()
    with pytest.raises(HookDenied, match="'hookframe-journal' is blocked: the rules deny it"):
        model.add_hook("hook_embed", look)


def test_an_object_with_its_name_does_not_stand_in_for_it(places, model):
    class Impostor:
        __name__ = JOURNAL

    places.write("machine", KEEPS)
    with hookframe.use_plugins(Impostor()), pytest.raises(HookDenied, match="is registered already"):
        model.add_hook("hook_embed", look)


# ---- what it is told --------------------------------------------------------------------------------


def test_the_journal_says_under_which_policy_and_with_which_plugins(places, model, policy):
    places.write("machine", KEEPS)
    model.admission_controller = manager = governed_manager()
    model.add_hook("hook_embed", look)
    manager.plugin(JOURNAL).close()
    header, decision = (
        e for e in read_journal(places.root / "etc" / "journal") if getattr(e, "kind", "header") == "header"
    )
    assert isinstance(header, EventEntry)
    assert header.facts["policy"].startswith("sha256:")
    assert len(header.facts["plugins"]) == 64
    assert decision.facts["model.class"] == "TinyModel"  # what the policy saw


def test_a_required_journal_that_cannot_be_kept_refuses_and_another_is_told_of(places, model, caplog):
    (places.root / "etc").mkdir()
    (places.root / "etc" / "journal").write_text("in the way")
    places.write("machine", REQUIRES)
    model.admission_controller = governed_manager()
    with pytest.raises(HookDenied, match="'hookframe-journal' is broken.*journal' is no directory; repair the table"):
        model.add_hook("hook_embed", look)
    places.write("machine", KEEPS)
    model.admission_controller = manager = governed_manager()
    model.add_hook("hook_embed", look)
    manager.plugin(JOURNAL).journal.journal._at_exit()
    assert "cannot be written" in caplog.text


def test_without_a_policy_the_plugin_is_idle(places, model):
    manager = governed_manager()
    record = record_of(manager)
    assert (str(record.state), record.specs) == ("loaded", ("configure", "add_commands"))
    assert record.reason.endswith("idle: as it is configured, it has nothing to do with hooks")


def test_options_and_treatment_of_the_plugin_are_those_of_the_table_journal(policy):
    text = (
        '[plugins.hookframe-journal]\nisolation = "process"\n[plugins.hookframe-journal.options]\ndirectory = "/mine"\n'
    )
    plain = policy("schema = 1\n" + text)
    assert options_of(plain) == {JOURNAL: {"directory": "/mine"}}
    assert list(treatments_of(plain)) == [JOURNAL]
    keeps = policy(KEEPS + text)
    assert options_of(keeps)[JOURNAL]["directory"].name == "journal"
    assert treatments_of(keeps) == {}
