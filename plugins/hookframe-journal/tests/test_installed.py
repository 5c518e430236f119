"""The plugin as the host finds it: idle, or a journal by its options; and the verb that it brings."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner
from hookframe_journal.installed import RUN, InstalledJournal

from hookframe import HookDenied, HookedRootModule, HookPoint, PluginManager, PluginRejected, use_plugins
from hookframe.audit import DecisionEntry, read_journal
from hookframe.cli.main import cli
from hookframe.hookspecs import OBSERVERS


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_x = HookPoint()
        self.setup()


def add_a_hook():
    return Model().add_hook("hook_x", lambda tensor, hook: None)


def configured(**options):
    return PluginManager(InstalledJournal(), options={"InstalledJournal": options})


def test_without_a_directory_it_is_idle_and_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manager = configured()
    (record,) = manager.records
    assert record.specs == ("configure", "add_commands")
    assert "idle" in record.reason
    assert not manager.wanted.intersection(OBSERVERS)
    with use_plugins(manager):
        add_a_hook()
    assert list(tmp_path.iterdir()) == []


def test_with_a_directory_it_records_as_the_run_and_the_process_that_it_is(journal, monkeypatch):
    monkeypatch.setenv(RUN, "study")
    monkeypatch.setenv("RANK", "3")
    manager = configured(directory=str(journal), facts=["family"], sealed_to=None)
    assert manager.wanted.issuperset(OBSERVERS)
    with use_plugins(manager):
        add_a_hook()
    manager.plugin("InstalledJournal").close()
    header, *entries = read_journal(journal)
    assert (header.facts["run"], header.facts["rank"]) == ("study", 3)
    assert len([entry for entry in entries if isinstance(entry, DecisionEntry)]) == 1


def test_a_run_names_itself_for_its_children(journal, monkeypatch):
    monkeypatch.setenv(RUN, "first")
    monkeypatch.delenv(RUN)
    first, second = (configured(directory=journal).plugin("InstalledJournal").journal.journal for _ in range(2))
    assert first.settings.run == second.settings.run


def test_options_that_change_close_one_journal_and_open_another(tmp_path):
    manager = configured(directory=tmp_path / "one")
    with use_plugins(manager):
        add_a_hook()
        manager.configure("InstalledJournal", {"directory": tmp_path / "two"})
        add_a_hook()
        manager.configure("InstalledJournal", {})
        add_a_hook()
    for name in ("one", "two"):
        kinds = [getattr(entry, "kind", "decision") for entry in read_journal(tmp_path / name)]
        assert kinds == ["header", "decision", "hooks_added", "footer"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"required": True}, "no journal can be kept: it is required, and nobody says its directory"),
        ({"required": True, "directory": __file__}, "is no directory; repair the table journal of the policy"),
        ({"direktory": "x"}, "there is no option 'direktory'"),
    ],
)
def test_options_that_cannot_be_used_keep_the_plugin_out(options, message):
    with pytest.raises(PluginRejected, match=message):
        configured(**options)


@pytest.mark.parametrize("required", [True, False])
def test_a_journal_that_has_to_be_sealed_needs_its_library_required_or_not(journal, monkeypatch, required):
    monkeypatch.setitem(sys.modules, "nacl.public", None)
    with pytest.raises(PluginRejected, match=r"pip install 'hookframe-journal\[sealed\]'"):
        configured(directory=journal, required=required, sealed_to="A" * 43 + "=")


def test_a_journal_that_nobody_requires_and_that_cannot_be_kept_is_told_of(journal, monkeypatch, caplog):
    monkeypatch.setenv(RUN, "../../etc")
    manager = configured(directory=journal)
    assert "no journal can be kept" in caplog.text
    with use_plugins(manager):
        add_a_hook()


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_required_journal_that_cannot_be_written_refuses(journal):
    with use_plugins(configured(directory=journal, required=True)):
        journal.write_text("in the way")
        with pytest.raises(HookDenied, match="the decision has to be recorded, and could not be"):
            add_a_hook()
        journal.unlink()
        add_a_hook()


def test_the_verb_comes_with_the_plugin_and_without_it_says_what_to_install():
    result = CliRunner().invoke(cli, ["audit", "--help"])
    assert result.exit_code == 0
    assert "Find out whether a journal is as it was written." in result.output
    with use_plugins():
        result = CliRunner().invoke(cli, ["audit", "verify", "somewhere"])
    assert result.exit_code == 2
    assert "pip install hookframe-journal" in result.output


def test_an_installed_plugin_that_may_not_load_says_why(monkeypatch):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "none")
    done = subprocess.run(
        [sys.executable, "-m", "hookframe", "audit", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "hookframe-journal, which is disabled: not among the plugins that HOOKFRAME_PLUGINS names" in done.stderr
