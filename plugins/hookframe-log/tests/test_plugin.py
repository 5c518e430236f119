"""The plugin on the bus, with a real model."""

import json
import logging
import re
import time
import tomllib
from importlib import import_module
from pathlib import Path

import hookframe_log
import pytest
from hookframe_log.plugin import LogPlugin, plugin

from hookframe import Decision, HookDenied, Objection, PluginManager, PluginRejected, hookimpl, hookspecs, use_plugins
from hookframe.admission.request import LazyRequests

VALUE = "1234.5"  # of every activation; it stands nowhere else
PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


def double(tensor, hook):
    return tensor * 2


def fail(tensor, hook):
    raise ValueError(f"cannot use {tensor}")


def live_through_everything(model, batch):
    """One operation after another, so that every observer is told something."""
    model.run_with_cache(batch, incl_bwd=True)
    model.add_hook("blocks.0.hook_in", double, is_permanent=True)
    model.reset_hooks(including_permanent=True)
    with pytest.raises(ValueError, match="cannot use"):
        model.run_with_hooks(batch, fwd_hooks=[("blocks.1.hook_out", fail)])


# ---- what is said ---------------------------------------------------------------------------------------------------


def test_a_caching_run_reads_as_one_line_for_each_event(model, batch, using, lines):
    with using():
        model.run_with_cache(batch)
    assert "run_with_cache: admitted 6 hooks" in lines()
    assert lines()[-1] == (
        "run_with_cache on TwoBlocks: 4 points fired, 2 never (blocks.0.hook_gated, blocks.1.hook_gated), 64 bytes cached"
    )


def test_a_refusal_names_who_refused_and_by_which_rule(model, using, lines):
    class Guard:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return Objection.deny(requests[0], rule="no-edit", message="m", remedy="r")

    with using(Guard()), pytest.raises(HookDenied, match="no-edit"):
        model.add_hook("blocks.0.hook_in", double)
    assert lines() == ["add_hook: refused 1 hook; deny by Guard (no-edit) at blocks.0.hook_in"]


def test_every_observer_is_logged(model, batch, using, tmp_path):
    with using(file=str(tmp_path / "log"), format="json"):
        live_through_everything(model, batch)
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {record["event"] for record in records} == set(hookspecs.OBSERVERS)


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_tensor_value_is_logged(model, batch, using, tmp_path, kind):
    with using(file=str(tmp_path / "log"), format=kind):
        live_through_everything(model, batch)
    text = (tmp_path / "log").read_text()
    assert "ValueError" in text
    assert VALUE not in text
    assert "tensor(" not in text


def test_only_selected_points_are_logged(model, batch, using, lines):
    with using(points="blocks.1.*"):
        model.add_hook("blocks.0.hook_in", double)
        assert lines() == []
        model.run_with_cache(batch)
    assert lines()
    assert not any("blocks.0" in line for line in lines())


def test_records_carry_their_fields_for_other_handlers(model, using, caplog):
    caplog.set_level(logging.INFO, "hookframe.log")
    with using():
        model.add_hook("blocks.0.hook_in", double)
    added = next(record for record in caplog.records if record.funcName == "hooks_added")
    assert added.hookframe["points"] == ["blocks.0.hook_in"]
    assert added.hookframe["functions"] == [f"{__name__}.double"]


# ---- where it goes --------------------------------------------------------------------------------------------------


def test_by_default_the_logger_decides_and_nothing_is_configured(model, batch, using, capfd):
    logger, root = logging.getLogger("hookframe.log"), logging.getLogger()
    before = [logger.handlers[:], logger.level, logger.propagate, root.handlers[:], root.level]
    with using():
        model.run_with_cache(batch)
    assert [logger.handlers[:], logger.level, logger.propagate, root.handlers[:], root.level] == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("level", "expected"), [("debug", False), ("warning", True)])
def test_records_have_the_level_that_was_asked_for(model, using, caplog, level, expected):
    caplog.set_level(logging.INFO, "hookframe.log")
    with using(level=level):
        model.add_hook("blocks.0.hook_in", double)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"] * expected


def test_a_file_gets_each_line_with_its_time_whatever_the_logger_lets_through(model, using, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL, "hookframe.log")
    caplog.handler.setLevel(logging.NOTSET)
    with using(file=str(tmp_path / "log")):
        model.add_hook("blocks.0.hook_in", double)
    first, second = (tmp_path / "log").read_text().splitlines()
    assert STAMP.match(first)
    assert STAMP.sub("", first) == "add_hook: admitted 1 hook"
    assert second.endswith(f"1 hook added at blocks.0.hook_in: {__name__}.double")
    assert caplog.records == []


def test_times_are_in_utc(model, using, tmp_path, monkeypatch):
    monkeypatch.setattr(logging.Formatter, "converter", lambda *_: time.gmtime(0))  # what the local clock would say
    with using(file=str(tmp_path / "log")):
        model.add_hook("blocks.0.hook_in", double)
    assert not (tmp_path / "log").read_text().startswith("1970")


def test_events_that_nobody_hears_are_not_looked_at(caplog):
    caplog.set_level(logging.WARNING, "hookframe.log")
    requests = LazyRequests(lambda: pytest.fail("the requests were made"), 1)
    LogPlugin().hookframe_decision_made(Decision(requests))


def test_a_file_is_appended_to(model, using, tmp_path):
    (tmp_path / "log").write_text("before\n")
    with using(file=str(tmp_path / "log")):
        model.add_hook("blocks.0.hook_in", double)
    assert (tmp_path / "log").read_text().startswith("before\n2")


def test_two_logs_keep_to_their_own_files(model, using, tmp_path):
    with using(file=str(tmp_path / "outer")):
        with using(file=str(tmp_path / "inner")):
            model.add_hook("blocks.0.hook_in", double)
        model.add_hook("blocks.1.hook_in", double)
    assert "blocks.1" not in (tmp_path / "inner").read_text()
    assert "blocks.0" not in (tmp_path / "outer").read_text()


def test_standard_error_shows_lines_when_asked(model, using, capsys):
    with using(stderr=True, format="json"):
        model.add_hook("blocks.0.hook_in", double)
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["event"] for line in err.splitlines()] == ["decision_made", "hooks_added"]


def test_the_environment_is_enough_for_people_without_a_policy(model, using, tmp_path, monkeypatch):
    monkeypatch.setenv("HOOKFRAME_LOG_FILE", str(tmp_path / "log"))
    monkeypatch.setenv("HOOKFRAME_LOG_FORMAT", "json")
    monkeypatch.setenv("HOOKFRAME_LOG_LEVEL", "debug")
    monkeypatch.setenv("HOOKFRAME_LOG_POINTS", "blocks.1.*")
    with using():
        model.add_hook("blocks.0.hook_in", double)
        model.add_hook("blocks.1.hook_in", double)
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(r["event"], r["severity"]) for r in records] == [("decision_made", "DEBUG"), ("hooks_added", "DEBUG")]


def test_configuring_anew_closes_the_file(model, tmp_path):
    log = LogPlugin()
    PluginManager(log, options={"hookframe-log": {"file": str(tmp_path / "first")}})
    with use_plugins(log, options={"hookframe-log": {"file": str(tmp_path / "second")}}):
        model.add_hook("blocks.0.hook_in", double)
    log.close()
    assert (tmp_path / "first").read_text() == ""
    assert len((tmp_path / "second").read_text().splitlines()) == 2


# ---- the distribution -----------------------------------------------------------------------------------------------


def test_wrong_options_leave_the_plugin_out_with_the_reason():
    with pytest.raises(PluginRejected, match=r"'hookframe-log' failed while it was registered: .*'format' is 'xml'"):
        PluginManager(LogPlugin(), options={"hookframe-log": {"format": "xml"}})


def test_a_file_that_cannot_be_opened_leaves_the_plugin_out_with_the_reason(tmp_path):
    with pytest.raises(PluginRejected, match="cannot be opened: No such file or directory"):
        PluginManager(LogPlugin(), options={"hookframe-log": {"file": str(tmp_path / "none" / "log")}})


def test_the_entry_point_names_the_plugin_and_it_observes_everything():
    (place,) = PYPROJECT["project"]["entry-points"]["hookframe.plugins"].values()
    module, _, attribute = place.partition(":")
    assert getattr(import_module(module), attribute) is plugin
    record = PluginManager(plugin).records[0]
    assert record.name == PYPROJECT["project"]["name"]
    assert set(record.specs) == {*hookspecs.OBSERVERS, "configure"}


def test_every_dependency_is_declared():
    names = {dependency.partition(">")[0] for dependency in PYPROJECT["project"]["dependencies"]}
    assert names == {"hookframe", "rich"}
    assert PYPROJECT["project"]["license"] == "MIT"


def test_the_version_has_one_place():
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hookframe_log.__version__"}
    assert hookframe_log.__version__
