"""``hookframe plugins``: what each verb shows, what it leaves alone, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from importlib_metadata import distributions

from hookframe.cli.main import cli
from hookframe.host.installed.record import PluginRecord
from hookframe.host.installed.rules import LoadingRules
from hookframe.testing.fake_installations import ABSTAINS

EXITS = "raise SystemExit('imported')"


@pytest.fixture
def run(monkeypatch, site):
    """Run a verb with the fake distributions alone."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(
        "hookframe.host.installed.inventory.distributions", lambda: distributions(path=[str(site.root)])
    )

    def invoke(*arguments):
        return CliRunner().invoke(cli, ["plugins", *map(str, arguments)])

    return invoke


def rules_file(tmp_path, text):
    file = tmp_path / "rules.toml"
    file.write_text(text)
    return file


def imported():
    return [name for name in sys.modules if name.startswith("fake_acme")]


# ---- exit codes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "state", "code"),
    [
        (lambda site: site.normal("acme-rules", EXITS), "found", 0),
        (lambda site: site.editable("acme-rules", EXITS), "found", 0),
        (lambda site: site.wrong_api("acme-rules", source=EXITS), "incompatible", 1),
        (lambda site: (site.normal("acme-rules", EXITS), site.empty_dist_info("acme-rules")), "duplicate", 1),
        (lambda site: site.without_name("acme-rules", EXITS), "broken", 4),
    ],
    ids=["sound", "editable", "incompatible", "left-over", "nameless"],
)
@pytest.mark.parametrize("verb", [("list",), ("why", "acme-rules")])
def test_the_exit_code_follows_from_the_states_and_nothing_is_imported(verb, make, state, code, run, site):
    make(site)
    result = run(*verb)
    assert result.exit_code == code, result.output
    assert state in result.output
    assert imported() == []


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ('deny = ["acme-rules"]', 0),
        ('deny = ["acme-rules"]\nrequire = ["acme-rules"]', 1),
        ('require = ["acme-other"]', 1),
        ("strict = true", 3),
        ('[plugins.acme-rules]\nversion = ">2"', 0),
    ],
)
def test_rules_from_a_file_apply_to_the_list(rules, code, run, site, tmp_path):
    site.tampered("acme-rules", EXITS)
    assert run("list", "--rules", rules_file(tmp_path, rules)).exit_code == code
    assert imported() == []


def test_rules_that_cannot_be_read_end_with_a_usage_error(tmp_path, site):
    file = rules_file(tmp_path, "nonsense = 1")
    command = [sys.executable, "-m", "hookframe", "plugins", "list", "--rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "has no key 'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["show", "why", "verify"])
def test_a_name_that_no_plugin_has_is_a_usage_error_with_a_near_miss(verb, run, site):
    site.normal("acme-rules", EXITS)
    result = run(verb, "acme-rulse")
    assert result.exit_code == 2
    assert "did you mean acme-rules?" in result.output
    assert imported() == []


# ---- list ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_plugin_that_fails_when_it_is_loaded_ends_with_its_own_code(run, site):
    site.normal("acme-rules", EXITS)
    result = run("list", "--load")
    assert result.exit_code == 4
    assert "importing it raised SystemExit: imported" in result.output


def test_what_is_wrong_with_the_environment_is_noted_beside_the_list(run, site):
    site.normal("acme-rules", EXITS)
    site.plain_file("acme-file")
    result = run("list", "--json")
    assert result.exit_code == 0
    assert "note: " in result.stderr
    assert "is a plain file where a directory is expected" in result.stderr
    (row,) = json.loads(result.stdout)
    assert row["origin"] == "index"
    assert row.keys() == set(PluginRecord.__dataclass_fields__)


def test_a_long_list_is_wrapped_and_loses_nothing(run, site, monkeypatch):
    site.normal("acme-rules", EXITS, entry_points={"a-very-long-name-of-an-entry-point": "fake_acme_rules.plugin"})
    monkeypatch.setenv("COLUMNS", "60")
    headings, *lines = run("list").output.splitlines()
    place, why = headings.index("Entry point"), headings.index("Why")
    shown = "".join(line[place:why].strip() for line in lines)
    assert shown.replace(" ", "") == "a-very-long-name-of-an-entry-point=fake_acme_rules.plugin"
    assert " ".join(line[why:] for line in lines) == "installed; loads when the first hook is attached"


# ---- show ----------------------------------------------------------------------------------------------------------


def test_show_gives_specs_with_their_lines_and_metadata(run, site):
    fake = site.normal("acme-rules", ABSTAINS)
    site.normal("acme-other", EXITS)
    result = run("show", "Acme_Rules")
    assert result.exit_code == 0, result.output
    line = 1 + fake.source.read_text().splitlines().index("@hookimpl")
    assert f"check_hooks_to_add  {fake.source}:{line}" in result.output
    assert str(fake.info) in result.output
    assert "plugin API          ~=1.0" in result.output
    assert set(imported()) == {fake.package, fake.module}


def test_show_as_json_is_for_programs(run, site):
    site.normal("acme-rules", ABSTAINS)
    (shown,) = json.loads(run("show", "acme-rules", "--json").stdout)
    assert [place["spec"] for place in shown["specs"]] == ["check_hooks_to_add"]
    assert shown["options"] == {}
    assert shown["metadata"]["installer"] == "pip"


def test_show_does_not_import_what_may_not_load(run, site, tmp_path):
    site.normal("acme-rules", EXITS)
    result = run("show", "acme-rules", "--rules", rules_file(tmp_path, 'deny = ["acme-rules"]'))
    assert result.exit_code == 0
    assert "blocked (the rules deny it)" in result.output
    assert imported() == []


def test_show_tells_a_copy_from_the_one_that_counts(run, site):
    site.normal("acme-rules", EXITS, version="2.0")
    fake = site.normal("acme-rules", ABSTAINS, version="1.0")
    counts, copy = json.loads(run("show", "acme-rules", "--json").stdout)
    assert (counts["state"], counts["metadata"]["metadata"], len(counts["specs"])) == ("loaded", str(fake.info), 1)
    assert (copy["state"], copy["version"], copy["specs"]) == ("duplicate", "2.0", [])
    assert copy["metadata"]["metadata"].endswith("acme_rules-2.0.dist-info")


# ---- why -----------------------------------------------------------------------------------------------------------


def test_why_shows_every_rule_in_order_and_which_one_decides(run, site, tmp_path):
    site.tampered("acme-rules", EXITS)
    rules = 'deny = ["acme-rules"]\nrequire = ["acme-rules"]\n[plugins.acme-rules]\nversion = ">=1"\norigin = "vcs"\n'
    result = run("why", "acme-rules", "--json", "--no-plugin", "acme-rules", "--rules", rules_file(tmp_path, rules))
    (explained,) = json.loads(result.stdout)
    assert (explained["state"], explained["step"]) == ("blocked", "deny")
    assert [(step["name"], step["state"]) for step in explained["steps"]] == [
        ("metadata", None),
        ("copies", None),
        ("deny", "blocked"),
        ("require", None),
        ("selection", "disabled"),
        ("origin", "blocked"),
        ("version", None),
        ("plugin-api", None),
        ("requirement", None),
        ("module", None),
        ("integrity", "tampered"),
    ]
    assert result.exit_code == 1
    text = run("why", "acme-rules", "--rules", rules_file(tmp_path, rules)).output
    assert text.count("this decides; to change it: take acme-rules out of deny") == 1
    assert imported() == []


def test_why_explains_a_name_that_only_the_rules_know(run, site, tmp_path):
    result = run("why", "acme-rules", "--rules", rules_file(tmp_path, 'require = ["acme-rules"]'))
    assert result.exit_code == 1
    assert "missing" in result.output
    assert "pip install acme-rules" in result.output


# ---- verify --------------------------------------------------------------------------------------------------------


def test_verify_names_the_files_and_imports_nothing(run, site):
    site.normal("acme-sound", EXITS)
    fake = site.tampered("acme-rules", EXITS)
    fake.plant_file()
    result = run("verify")
    assert result.exit_code == 3
    assert "  changed   fake_acme_rules/plugin.py" in result.output
    assert "  unknown   fake_acme_rules/planted.py" in result.output
    assert "acme-sound 1.0: 5 files match RECORD" in result.output
    assert run("verify", "acme_sound").exit_code == 0
    assert imported() == []


def test_verify_as_json_is_for_programs(run, site):
    site.tampered("acme-rules", EXITS)
    (row,) = json.loads(run("verify", "--json").stdout)
    assert (row["intact"], row["changed"]) == (False, ["fake_acme_rules/plugin.py"])


def test_what_cannot_be_verified_is_a_finding(run, site):
    site.editable("acme-rules", EXITS)
    result = run("verify")
    assert result.exit_code == 1
    assert "it is an editable install" in result.output


# ---- lock ----------------------------------------------------------------------------------------------------------


def test_a_lock_is_written_checked_and_is_a_file_of_rules(run, site, tmp_path):
    site.normal("acme-rules", EXITS)
    site.normal("acme-other", EXITS, version="2.0")
    file = tmp_path / "lock.toml"
    assert run("lock", file).exit_code == 0
    pins = {pin.plugin: pin for pin in LoadingRules.from_toml(file).pins}
    assert {name: pin.version for name, pin in pins.items()} == {"acme-rules": "==1.0", "acme-other": "==2.0"}
    assert all(pin.digest.startswith("sha256:") for pin in pins.values())
    assert run("lock", "--check", file).exit_code == 0
    assert run("list", "--rules", file).exit_code == 0
    assert imported() == []


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (lambda site: site.normal("acme-new", EXITS), 1, "acme-new: it is installed, and is not in the lock"),
        (lambda site: site.tampered("acme-rules", EXITS), 3, "acme-rules: changed: fake_acme_rules/plugin.py"),
        (lambda site: site.normal("acme-rules", EXITS + "#"), 3, "acme-rules: its digest is sha256:"),
        (lambda site: (site.root / "acme_rules-1.0.dist-info/RECORD").unlink(), 1, "acme-rules: its files cannot be"),
        (lambda site: (site.root / "acme_rules-1.0.dist-info/entry_points.txt").unlink(), 1, "and is not installed"),
    ],
    ids=["new", "tampered", "another build", "no RECORD", "gone"],
)
def test_what_is_not_as_the_lock_says_is_found(change, code, text, run, site, tmp_path):
    site.normal("acme-rules", EXITS)
    file = tmp_path / "lock.toml"
    run("lock", file)
    change(site)
    result = run("lock", "--check", file)
    assert result.exit_code == code
    assert text in result.output


def test_another_version_than_the_locked_is_found(run, site, tmp_path):
    site.normal("acme-rules", EXITS, version="2.0")
    file = rules_file(tmp_path, '[plugins.acme-rules]\nversion = "==1.0"\n')
    result = run("lock", "--check", file)
    assert result.exit_code == 3
    assert "its version is 2.0, and the lock says ==1.0" in result.output
    assert "without a digest" in result.output


def test_files_that_do_not_match_are_not_locked(run, site, tmp_path):
    site.tampered("acme-rules", EXITS)
    file = tmp_path / "lock.toml"
    result = run("lock", file)
    assert result.exit_code == 3
    assert "was not written" in result.output
    assert not file.exists()


def test_an_editable_plugin_is_locked_without_a_digest_and_it_is_said(run, site, tmp_path):
    site.editable("acme-rules", EXITS)
    file = tmp_path / "lock.toml"
    result = run("lock", file)
    assert result.exit_code == 1
    assert "it is an editable install" in result.output
    assert LoadingRules.from_toml(file).pins[0].digest is None


@pytest.mark.parametrize("arguments", [("--check", "none.toml"), ("missing-directory/lock.toml",)])
def test_a_lock_that_cannot_be_read_or_written_is_a_usage_error(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "hookframe", "plugins", "lock", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "hookframe: rules 'none.toml' cannot be read" in done.stderr or "cannot be written" in done.stderr


def test_help_lists_the_verbs(run):
    output = run("--help").output
    assert all(verb in output for verb in ("list", "lock", "show", "verify", "why"))
    assert run("nonsense").exit_code == 2
