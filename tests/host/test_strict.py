"""Strict loading: what runs is what was compared with RECORD, whatever lies in ``__pycache__``."""

from __future__ import annotations

import importlib
import sys

import pytest

import hookframe
from hookframe import HookDenied, HookPoint, PluginManager
from hookframe.host.installed.integrity import check_files
from hookframe.host.installed.inventory import take_inventory
from hookframe.host.installed.rules import LoadingRules
from hookframe.host.running import loading
from hookframe.host.running.strict import VerifiedLoader
from hookframe.testing.fake_installations import ABSTAINS

STRICT = LoadingRules(strict=True, require=frozenset({"acme-rules"}))
SAYS = "WHO = {who!r}\n" + ABSTAINS


def load():
    manager = PluginManager.installed(rules=STRICT)
    return next(record for record in manager.records if record.distribution == "acme-rules")


def test_a_planted_pyc_passes_record_and_would_run(site):
    """The attack that strict mode is for; without it the other tests here would prove nothing."""
    fake = site.planted_pyc("acme-rules", SAYS.format(who="genuine"), SAYS.format(who="planted"))
    (distribution,) = [d for d in take_inventory().distributions if d.name == "acme-rules"]
    assert check_files(distribution).intact
    PluginManager.installed()
    assert sys.modules[fake.module].WHO == "planted"


def test_a_planted_pyc_does_not_run_in_strict_mode(site):
    fake = site.planted_pyc("acme-rules", SAYS.format(who="genuine"), SAYS.format(who="planted"))
    assert load().state == "loaded"
    assert sys.modules[fake.module].WHO == "genuine"
    assert isinstance(sys.modules[fake.package].__loader__, VerifiedLoader)


def test_strict_mode_writes_no_pyc(site, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    fake = site.normal("acme-rules", ABSTAINS)
    assert load().state == "loaded"
    assert not (fake.source.parent / "__pycache__").exists()


def test_a_module_that_is_imported_later_is_verified_as_well(site):
    text = ABSTAINS + "\n\ndef who():\n    from fake_acme_rules.plugin_late import WHO\n    return WHO\n"
    fake = site.normal("acme-rules", text, files={"plugin_late.py": "WHO = 'genuine'\n"})
    late = fake.source.with_name("plugin_late.py")
    assert load().state == "loaded"
    late.write_text("WHO = 'planted'\n")
    importlib.invalidate_caches()
    assert sys.modules[fake.module].who() == "genuine"
    fake.plant_file("added.py")
    with pytest.raises(ModuleNotFoundError, match="fake_acme_rules.added"):
        importlib.import_module("fake_acme_rules.added")


def test_no_import_hook_is_left_behind(site):
    fake = site.normal("acme-rules", ABSTAINS)
    before = list(sys.meta_path), list(sys.path_hooks), set(sys.path_importer_cache)
    assert load().state == "loaded"
    assert (list(sys.meta_path), list(sys.path_hooks)) == before[:2]
    added = set(sys.path_importer_cache) - before[2]
    assert str(fake.source.parent) in added
    assert [entry for entry in added if entry.startswith(str(fake.root)) and fake.package not in entry] in (
        [],
        [str(fake.root)],
    )


@pytest.mark.parametrize("source", ["raise ImportError('no')", "raise SystemExit(3)"])
def test_no_import_hook_is_left_behind_by_a_plugin_that_fails(source, site):
    site.normal("acme-rules", source)
    before = list(sys.meta_path)
    assert load().state == "broken"
    assert sys.meta_path == before


def test_files_that_change_between_judging_and_loading_do_not_run(site, monkeypatch):
    fake = site.normal("acme-rules", ABSTAINS)
    survey = loading.survey

    def surveyed_then_changed(*arguments):
        found = survey(*arguments)
        fake.tamper("raise SystemExit('imported')")
        return found

    monkeypatch.setattr(loading, "survey", surveyed_then_changed)
    record = load()
    assert (record.state, record.step) == ("tampered", "integrity")


def test_a_plugin_that_was_imported_unverified_is_not_taken(site):
    fake = site.normal("acme-rules", ABSTAINS)
    importlib.import_module(fake.module)
    record = load()
    assert record.state == "broken"
    assert "was imported before it could be verified" in record.reason


def test_a_second_manager_takes_what_the_first_one_verified(site):
    site.normal("acme-rules", ABSTAINS)
    assert [str(load().state), str(load().state)] == ["loaded", "loaded"]


def test_a_module_that_shadows_the_plugin_is_not_taken_for_it(site, tmp_path, monkeypatch):
    fake = site.normal("acme-rules", ABSTAINS)
    shadow = tmp_path / "shadow" / fake.package
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("")
    (shadow / "plugin.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path / "shadow")
    record = load()
    assert record.state == "tampered"
    assert f"elsewhere: {fake.module} is imported from {shadow / 'plugin.py'}" in record.reason


def test_a_required_plugin_that_was_changed_refuses_in_strict_mode(site):
    site.tampered("acme-rules")
    with hookframe.use_plugins(PluginManager.installed(rules=STRICT)), pytest.raises(HookDenied, match="is tampered"):
        HookPoint().add_hook(print)
