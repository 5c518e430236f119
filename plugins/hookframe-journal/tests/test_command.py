"""``hookframe audit``: what each verb shows, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner
from hookframe_journal.plugin import JournalPlugin

from hookframe import Decision, Objection
from hookframe.admission.request import FunctionInfo, HookRequest, LazyRequests
from hookframe.cli.main import cli


def requests_at(*points):
    function = FunctionInfo(module="acme", qualname="probe", digest="sha256:1")
    made = [HookRequest(index=i, point=p, function=function, route="hooks") for i, p in enumerate(points)]
    return LazyRequests(lambda: made, len(made))


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments):
        return CliRunner().invoke(cli, ["audit", *map(str, arguments)])

    return invoke


@pytest.fixture
def journal(tmp_path):
    """A journal with an allowed, a warned and a refused decision, and one that is only recorded."""
    plugin = JournalPlugin(tmp_path / "journal", run="study", anchor=tmp_path / "anchors")
    for number, kind in enumerate((None, Objection.warn, Objection.deny, Objection.audit)):
        requests = requests_at("blocks.0.hook_z", "blocks.1.hook_z", f"=hook_{number}")
        requests.memo["facts"] = {"model.class": "Tiny", "model.secret": "x" * 999}
        said = (
            ()
            if kind is None
            else (kind(requests[1], rule="late", message="a late\x1b[31m layer", remedy="go earlier"),)
        )
        plugin.hookframe_decision_made(Decision(requests, said, number=number + 1, errors=(ValueError(),) * number))
    plugin.close()
    return tmp_path / "journal"


def segment_of(journal):
    (file,) = journal.glob("*.jsonl")
    return file


def rows_of(result):
    """The rows of the table; a long cell goes on in lines that begin with blanks."""
    return [line.split() for line in result.output.splitlines()[2:] if not line.startswith(" ")]


def test_show_lists_decisions_with_verdicts_and_reasons(run, journal):
    result = run("show", journal)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Segment {segment_of(journal).stem}\nNumber  Time ")
    assert [row[2] for row in rows_of(result)] == ["allowed", "warned", "denied", "recorded"]
    assert result.output.count("unknown: late") == 3
    assert [row[0] for row in rows_of(run("show", journal, "--denied"))] == ["3"]
    assert [row[0] for row in rows_of(run("show", journal, "--rule", "late"))] == ["2", "3", "4"]
    assert run("show", journal, "--rule", "other").output == "No such decision was recorded.\n"


def test_show_gives_all_of_one_decision_and_no_escape_reaches_the_terminal(run, journal):
    identity = f"{segment_of(journal).stem}:3"
    for name in ("3", identity):
        output = run("show", journal, name).output
        assert output.startswith(f"{identity}: denied")
        assert "function    acme.probe, sha256:1" in output
        assert "fact        model.class = 'Tiny'" in output
        assert "not kept    model.secret" in output
        assert "raised      ValueError" in output
        assert r"deny: fwd hook probe at 'blocks.1.hook_z': a late\x1b[31m layer" in output
        assert "remedy: go earlier" in output
    (plain,) = json.loads(run("show", journal, "3", "--json").output)
    assert (plain["id"], plain["allowed"], plain["requests"][0]["point"]) == (identity, False, "blocks.0.hook_z")
    assert plain["requests"][0]["function"] == {
        "module": "acme", "qualname": "probe", "distribution": None, "digest": "sha256:1",
    }  # fmt: skip


def test_a_decision_that_is_not_there_is_a_usage_error(run, journal):
    result = run("show", journal, "99")
    assert result.exit_code == 2
    assert "no decision '99'" in result.output
    assert run("show", journal / "gone").exit_code == 2


def test_verify_says_what_is_and_what_cannot_be_known(run, journal, tmp_path):
    result = run("verify", journal)
    assert result.exit_code == 0, result.output
    assert "as it was written (" in result.output
    assert "not excluded: records changed by somebody who also computed the chain anew" in result.output
    (facts,) = json.loads(run("verify", journal, "--anchors", tmp_path / "anchors", "--json").output)
    assert (facts["intact"], facts["finished"], facts["anchored"]) == (True, True, facts["records"] - 1)


def test_verify_ends_with_3_for_a_change_and_with_1_for_a_missing_end(run, journal):
    file = segment_of(journal)
    whole = file.read_text()
    file.write_text(whole.replace("go earlier", "go later", 1))
    result = run("verify", journal)
    assert result.exit_code == 3
    assert "NOT as it was written" in result.output
    assert ": edited: " in result.output
    file.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    result = run("verify", journal)
    assert result.exit_code == 1
    assert "unfinished" in result.output


def test_keys_are_made_once_and_verify_a_sealed_journal(run, tmp_path):
    made = run("key", tmp_path / "operator.key")
    assert made.exit_code == 0
    assert (tmp_path / "operator.key").stat().st_mode & 0o777 == 0o600
    assert run("key", tmp_path / "operator.key").exit_code == 2
    plugin = JournalPlugin(tmp_path / "journal", sealed_to=made.output.strip())
    plugin.hookframe_decision_made(Decision(requests_at("a")))
    plugin.close()
    result = run("verify", tmp_path / "journal", "--key", tmp_path / "operator.key")
    assert result.exit_code == 0
    assert "the whole segment replaced by another" in result.output
    (tmp_path / "other.key").write_text("no key\n")
    command = [
        sys.executable,
        "-m",
        "hookframe",
        "audit",
        "verify",
        tmp_path / "journal",
        "--key",
        tmp_path / "other.key",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the private key is no key" in done.stderr


def test_lines_that_cannot_be_used_are_named_and_the_rest_is_shown(run, journal):
    file = segment_of(journal)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], *["\x1b]0;\x07\n"] * 7, *lines[2:]]))
    result = run("show", journal)
    assert result.exit_code == 3
    assert "line 3: it is no JSON" in result.output
    assert "and 2 more lines" in result.output
    assert "\x1b" not in result.output
    assert "denied" in result.output


def test_tail_shows_the_end_and_goes_on(run, journal):
    output = run("tail", journal, "-n", "2").output.splitlines()
    assert len(output) == 2
    assert "footer" in output[1]
    assert (
        "recorded  #4  hooks, 3 x blocks.0.hook_z, blocks.1.hook_z, =hook_3  unknown: late"
        in run("tail", journal).output
    )
    assert [json.loads(line)["kind"] for line in run("tail", journal, "-n", "1", "--json").output.splitlines()] == [
        "footer"
    ]

    def write():
        time.sleep(0.3)
        plugin = JournalPlugin(journal)
        plugin.hookframe_decision_made(Decision(requests_at("came later")))
        plugin.close()

    thread = threading.Thread(target=write)
    thread.start()
    output = run("tail", journal, "-n", "0", "--for", "1.5").output
    thread.join()
    assert "came later" in output
    assert len(output.splitlines()) == 3  # header, decision, footer


def test_export_to_csv_has_a_line_for_each_objection_and_no_formula(run, journal, tmp_path):
    assert run("export", journal, "--format", "csv", "-o", tmp_path / "out.csv").exit_code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [row["kind"] for row in rows] == ["header", "decision", "decision", "decision", "decision", "footer"]
    assert [row["action"] for row in rows[2:5]] == ["warn", "deny", "audit"]
    plugin = JournalPlugin(tmp_path / "odd")
    plugin.hookframe_decision_made(Decision(requests_at("=1+1", "\ud800")))
    plugin.close()
    (row,) = [
        row
        for row in csv.DictReader(io.StringIO(run("export", tmp_path / "odd", "--format", "csv").output))
        if row["id"]
    ]
    assert row["points"] == r"'=1+1 \ud800"


def test_export_to_json_has_everything(run, journal):
    entries = json.loads(run("export", journal, "--format", "json").output)
    assert [entry["kind"] for entry in entries] == ["header", *["decision"] * 4, "footer"]
    assert entries[3]["objections"][0]["remedy"] == "go earlier"
    assert entries[3]["facts"] == {"model.class": "Tiny"}


def test_export_to_sarif_has_a_result_for_each_objection(run, journal):
    sarif = json.loads(run("export", journal, "--format", "sarif").output)
    (run_,) = sarif["runs"]
    assert sarif["version"] == "2.1.0"
    assert [result["level"] for result in run_["results"]] == ["warning", "error", "note"]
    assert [rule["id"] for rule in run_["tool"]["driver"]["rules"]] == ["unknown/late"]
    location = run_["results"][1]["locations"][0]
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "blocks.1.hook_z"
    line = location["physicalLocation"]["region"]["startLine"]
    assert json.loads(segment_of(journal).read_text().splitlines()[line - 1])["number"] == 3


def test_an_empty_journal_exports_to_empty_lists(run, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    assert json.loads(run("export", tmp_path, "--format", "json").output) == []
    assert json.loads(run("export", tmp_path, "--format", "sarif").output)["runs"][0]["results"] == []
    assert run("verify", tmp_path).exit_code == 1


def test_a_directory_without_segments_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hookframe", "audit", "show", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "has no segments" in done.stderr


def test_the_verbs_need_no_torch(journal):
    script = "import sys, click.testing, hookframe.cli.main as m\n"
    script += (
        f"click.testing.CliRunner().invoke(m.cli, ['audit', 'verify', {str(journal)!r}], catch_exceptions=False)\n"
    )
    script += f"click.testing.CliRunner().invoke(m.cli, ['audit', 'show', {str(journal)!r}], catch_exceptions=False)\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
