"""``replay``, ``explain --journal`` and ``doctor``: what was recorded, decided anew; and what it is worth."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from importlib_metadata import distributions

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, hookimpl
from hookframe.audit.entries import DecisionEntry
from hookframe.audit.reading import read_journal
from hookframe.cli.main import cli
from hookframe.host.running.manager import PluginManager
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.found import Found
from hookframe.policy.in_force.governing import govern
from hookframe.policy.language.vocabulary import LayerKind

POLICY = """schema = 1
[journal]
directory = "{directory}"
required = true
[[rules]]
id = "no-edits"
points = ["hook_a"]
effect = "edit"
reason = "hook_a may be read alone"
remedy = "use @read_only"
"""
STRICTER = """schema = 1
[[rules]]
id = "no-edits"
effect = "edit"
when = { model.cfg.size = 3 }
reason = "no edits of big models"
remedy = "use a small one"
"""


class Model(HookedRootModule):
    def __init__(self, size=3):
        super().__init__()
        self.cfg = type("Config", (), {})()
        self.cfg.size = size
        self.hook_a, self.hook_b = HookPoint(), HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_b(self.hook_a(x))


class NoGradients:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return [
            Objection.warn(r, rule="gradients", message="gradients are costly", remedy="none")
            for r in requests
            if r.direction == "bwd"
        ]


def governed(text, kind=LayerKind.ORGANISATION, *plugins):
    manager = PluginManager(*plugins)
    govern(manager, Found(layers=(read_layer(text.encode(), kind, "policy.toml"),)))
    return manager


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """A journal of what three people did, and its directory."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HOOKFRAME_RUN", "study")
    directory = tmp_path / "journal"
    manager = governed(POLICY.format(directory=directory), LayerKind.ORGANISATION, NoGradients())
    with hookframe.use_plugins(manager):
        model = Model()
        with pytest.raises(
            HookDenied, match=r"hook_a may be read alone\n    by policy, rule 'organisation:no-edits' \(organ"
        ):
            model.add_hook("hook_a", lambda tensor, hook: tensor)
        model.run_with_cache(torch.ones(2))
        with pytest.warns(hookframe.HookObjectionWarning, match="gradients are costly"):
            model.add_hook("hook_b", lambda gradient, hook: None, dir="bwd")
        Model(size=1).add_hook("hook_b", lambda tensor, hook: tensor)
    manager.plugin("hookframe-journal").close()
    return directory


def run(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


def policy_file(tmp_path, text):
    file = tmp_path / "policy.toml"
    file.write_text(text)
    return file


def test_the_policy_that_decided_decides_the_same_again(journal, tmp_path):
    file = policy_file(tmp_path, POLICY.format(directory=journal))
    result = run("replay", journal, "--policy", file)
    assert (result.exit_code, result.output) == (0, "6 decisions about 7 requests, 0 would be other ones\n")


def test_what_another_policy_would_decide_is_told_with_its_rule(journal, tmp_path):
    file = policy_file(tmp_path, STRICTER)
    result = run("replay", journal, "--policy", file, "--json")
    data = json.loads(result.output)
    assert result.exit_code == 1
    assert data["without_facts"] == 0
    assert [(change["request"].split(" at ")[-1], change["before"], change["after"]) for change in data["changes"]] == [
        ("'hook_b'", "warn", "deny")
    ]
    (row, count) = [line for line in run("replay", journal, "--policy", file).output.splitlines() if "deny" in line]
    assert "bwd hook" in row
    assert count == "1 requests: warn becomes deny [organisation:no-edits]"


def test_what_another_policy_would_let_through_is_told_with_the_rule_that_refused(journal, tmp_path):
    file = policy_file(tmp_path, "schema = 1")
    result = run("replay", journal, "--policy", file, "--all")
    assert "1 requests: deny becomes allow [organisation:no-edits]" in result.output
    assert "warn becomes" not in result.output  # what a plugin said stays


def test_a_recorded_decision_is_explained(journal, tmp_path):
    file = policy_file(tmp_path, POLICY.format(directory=journal))
    (first, *_) = [entry for entry in read_journal(journal) if isinstance(entry, DecisionEntry)]
    result = run("explain", first.id, "--journal", journal, "--policy", file)
    assert result.exit_code == 1
    assert f"decision {first.id}, as it was recorded: add_hook refused (1 of 1 requests)" in result.output
    assert "deny at add: 1 of 1 rules match\n  organisation:no-edits decides: deny\n" in result.output
    assert run("explain", first.decision.number, "--journal", journal, "--policy", file).output == result.output
    data = json.loads(run("explain", first.id, "--journal", journal, "--policy", file, "--json").output)
    assert data[0]["facts"]["model.cfg.size"] == 3
    assert data[0]["facts"]["request.point"] == ["hook_a"]
    missing = run("explain", "999999", "--journal", journal, "--policy", file)
    assert missing.exit_code == 2
    assert "0 decisions of 6" in missing.output


def test_a_batch_is_explained_request_by_request(journal, tmp_path):
    file = policy_file(tmp_path, STRICTER)
    batch = next(e for e in read_journal(journal) if isinstance(e, DecisionEntry) and len(e.requests) == 2)
    output = run("explain", batch.id, "--journal", journal, "--policy", file).output
    assert output.count("allow at add: 0 of 1 rules match") == 2


def test_a_line_that_cannot_be_used_is_left_out_and_told(journal, tmp_path):
    (segment,) = journal.iterdir()
    segment.write_text(segment.read_text() + "nonsense\n")
    result = run("replay", journal, "--policy", policy_file(tmp_path, "schema = 1"))
    assert "left out: " in result.output


# ---- doctor --------------------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path, monkeypatch):
    """No layer but those that a test writes, and no plugin."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("HOOKFRAME_POLICY", raising=False)
    monkeypatch.setattr("hookframe.policy.files.layers.machine_directory", lambda: tmp_path / "etc")
    monkeypatch.setattr("hookframe.host.installed.inventory.distributions", list)
    monkeypatch.setattr("hookframe.policy.tools.guarantee.os.access", lambda path, mode: os.fspath(path) in writable)
    writable: list[str] = []
    return tmp_path, writable


def machine(tmp_path, text):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "policy.toml").write_text(text)


def doctor(code=0):
    result = run("doctor")
    assert result.exit_code == code, result.output
    return result.output


def test_without_a_policy_there_is_no_guarantee(places):
    assert doctor().startswith("guarantee: none\n")


def test_a_projects_policy_is_advisory(places):
    tmp_path, _ = places
    (tmp_path / "hookframe.toml").write_text("schema = 1")
    assert doctor().startswith(
        "guarantee: advisory\n  not higher, since no layer of the machine or of the organisation"
    )


def test_a_machines_policy_is_managed_unless_this_user_can_write_it(places):
    tmp_path, writable = places
    machine(tmp_path, "schema = 1")
    output = doctor()
    assert output.startswith("guarantee: managed\n  not higher, since no journal is kept: set journal.directory\n")
    writable.append(str(tmp_path / "etc"))
    assert (
        f"guarantee: advisory\n  not higher, since this user can write {tmp_path / 'etc'}, of the machine layer"
        in doctor()
    )


def test_a_required_sealed_journal_attests(places, site, monkeypatch):
    tmp_path, _ = places
    site.normal("hookframe-journal")
    monkeypatch.setattr(
        "hookframe.host.installed.inventory.distributions", lambda: distributions(path=[str(site.root)])
    )
    from nacl.encoding import Base64Encoder
    from nacl.public import PrivateKey

    key = PrivateKey.generate().public_key.encode(Base64Encoder).decode()
    text = f'schema = 1\n[journal]\ndirectory = "{tmp_path}/journal"\nsealed_to = "{key}"\n'
    machine(tmp_path, text)
    assert "not higher, since hooks run while the journal cannot be written" in doctor()
    (tmp_path / "hookframe.toml").write_text("schema = 1\n[journal]\nrequired = true")
    assert "not higher, since journal.required is set by the project layer" in doctor()
    (tmp_path / "etc" / "policy.toml").write_text(text + "required = true\n")
    assert doctor().startswith("guarantee: attested\npolicy: machine ")
    monkeypatch.setattr("hookframe.host.installed.inventory.distributions", list)
    assert "every hook is refused: plugin hookframe-journal is missing: the policy keeps a journal" in doctor(code=1)


def test_a_layer_that_cannot_be_read_is_named(places):
    tmp_path, _ = places
    machine(tmp_path, "nonsense")
    output = doctor(code=1)
    assert "guarantee: advisory\n  not higher, since the machine layer" in output
    assert "every hook is refused: the machine policy cannot be used" in output
    data = json.loads(run("doctor", "--json").output)
    assert data["level"] == "advisory"
    assert "cannot be used" in data["refusals"][0]


def test_the_day_of_the_record_decides_about_exceptions(journal, tmp_path):
    today = datetime.now(UTC).date()
    text = POLICY.format(directory=journal) + (
        '[[exceptions]]\nid = "study"\nrule = "no-edits"\npoints = ["hook_a"]\nowner = "jane"\n'
        f'reason = "r"\nuntil = {today}\n'
    )
    file = policy_file(tmp_path, text)
    assert "deny becomes warn" in run("replay", journal, "--policy", file).output
    assert "0 would be other ones" in run("replay", journal, "--policy", file, "--today", "2100-01-01").output
    assert Path(journal).is_dir()


def test_what_was_left_out_of_the_journal_is_no_change(tmp_path, monkeypatch):
    directory = tmp_path / "journal"
    text = STRICTER + f'[journal]\ndirectory = "{directory}"\nfacts = ["model.class"]\n'
    manager = governed(text)
    with hookframe.use_plugins(manager), pytest.raises(HookDenied, match="no edits of big models"):
        Model().add_hook("hook_a", lambda tensor, hook: tensor)
    manager.plugin("hookframe-journal").close()
    result = run("replay", directory, "--policy", policy_file(tmp_path, STRICTER))
    assert result.exit_code == 0
    assert "1 decisions cannot be made anew: model.cfg.size was left out of the journal" in result.output
