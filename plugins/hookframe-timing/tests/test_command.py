"""The verb, through the command that it belongs to."""

import json

import pytest
from click.testing import CliRunner
from hookframe_timing.plugin import TimingPlugin
from hookframe_timing.summary import append_summary
from hookframe_timing.tally import Row

from hookframe import use_plugins
from hookframe.cli.main import cli

ROWS = [
    Row(module="study", qualname="ablate", calls=2, total_ns=3_000_000, longest_ns=2_500_000, failures=1),
    Row(module="study", qualname="<lambda>", calls=1, total_ns=9_000_000, longest_ns=9_000_000),
]


@pytest.fixture
def run():
    with use_plugins(TimingPlugin()):
        yield lambda *arguments: CliRunner().invoke(cli, ["timings", *map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    append_summary(tmp_path / "times", ROWS)
    append_summary(tmp_path / "times", ROWS[:1])
    return tmp_path / "times"


def test_the_table_adds_processes_up_and_is_sorted_by_total_time(run, file):
    done = run(file)
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "    calls     total ms     mean us   longest us  failed  function",
        "        1        9.000      9000.0       9000.0       0  study.<lambda>",
        "        4        6.000      1500.0       2500.0       2  study.ablate",
    ]


def test_json_is_for_programs(run, file):
    first, second = json.loads(run(file, "--json").output)
    assert first == {
        "module": "study",
        "qualname": "<lambda>",
        "calls": 1,
        "total_ns": 9_000_000,
        "longest_ns": 9_000_000,
        "failures": 0,
        "mean_us": 9000.0,
    }
    assert (second["calls"], second["mean_us"]) == (4, 1500.0)


@pytest.mark.parametrize(("limit", "code"), [(1000, 1), (2000, 1), (9000, 0)])
def test_slow_functions_are_findings(run, file, limit, code):
    done = run(file, "--slow-us", limit)
    assert done.exit_code == code
    assert ("slow: study.<lambda> takes 9000.0 us" in done.output) is bool(code)
    assert ("slow: study.ablate" in done.output) is (limit == 1000)


@pytest.mark.parametrize("text", ["nonsense\n", "{}\n"])
def test_a_file_that_is_something_else_is_a_usage_error(run, tmp_path, text):
    (tmp_path / "other").write_text(text)
    done = run(tmp_path / "other")
    assert done.exit_code == 2
    assert "line 1 is no summary of timings" in done.output


def test_a_line_is_bounded(run, tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe_timing.summary._LONGEST", 100)
    (tmp_path / "other").write_text("[" * 101)
    done = run(tmp_path / "other")
    assert done.exit_code == 2
    assert "line 1 is no summary of timings: it is longer than 100 bytes" in done.output


@pytest.mark.parametrize("arguments", [("none",), (), ("--slow-us", "0", "none")])
def test_usage(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments).exit_code == 2


def test_nothing_timed_is_said_in_words(run, tmp_path):
    (tmp_path / "empty").touch()
    assert run(tmp_path / "empty").output == "No hook function was timed.\n"


def test_names_cannot_break_the_line_or_drive_the_terminal(run, tmp_path):
    append_summary(tmp_path / "times", [Row(module="m\x1b[31m", qualname="f\ng", calls=1)])
    output = run(tmp_path / "times").output
    assert len(output.splitlines()) == 2
    assert "\x1b" not in output
    assert "m\\x1b[31m.f\\ng" in output
