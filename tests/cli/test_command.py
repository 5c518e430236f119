"""The command: what a person types, and what they see."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import hookframe
from hookframe import HookDenied, UnknownHookPoint, hookimpl
from hookframe.cli import main as command
from hookframe.errors import PluginError
from hookframe.host.installed.distribution import Inventory


@pytest.fixture
def run(monkeypatch):
    def invoke(*arguments, columns=120):
        monkeypatch.setenv("COLUMNS", str(columns))
        return CliRunner().invoke(command.cli, list(arguments))

    return invoke


def test_help_names_the_verbs(run):
    result = run("--help")
    assert result.exit_code == 0
    assert "demo" in result.output
    assert "plugins" in result.output


def test_the_version_is_the_packages(run):
    assert run("--version").output == f"hookframe {hookframe.__version__}\n"


def test_an_unknown_verb_is_a_usage_error(run):
    result = run("nonsense")
    assert result.exit_code == 2
    assert "No such command 'nonsense'" in result.output


def test_a_plugin_adds_a_verb(run):
    import click

    class Greeter:
        @hookimpl
        def hookframe_add_commands(self, registry):
            @registry.command("greet")
            def greet():
                """Say hello."""
                click.echo("hello from a plugin")

    with hookframe.use_plugins(Greeter()):
        assert run("greet").output == "hello from a plugin\n"
        assert run("greet", "--help").exit_code == 0


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_a_plugin_that_fails_while_adding_verbs_is_left_out(run):
    class Broken:
        @hookimpl
        def hookframe_add_commands(self, registry):
            raise RuntimeError("no verbs")

    with hookframe.use_plugins(Broken()):
        assert run("greet").exit_code == 2


def test_a_verb_of_a_plugin_that_is_not_there_says_what_to_install(run):
    assert "audit " in run("--help").output
    result = run("audit", "verify", "somewhere")
    assert result.exit_code == 2
    assert "comes with a plugin that is not installed: pip install hookframe-journal" in result.output


INSTALLED = {"hookframe-log", "hookframe-mps"}


def test_plugins_list_shows_the_installed_plugins(run):
    result = run("plugins", "list")
    assert result.exit_code == 0
    assert all(name in result.output for name in INSTALLED)
    assert "found" in result.output


def test_plugins_list_as_json_is_for_programs(run):
    rows = json.loads(run("plugins", "list", "--json").output)
    assert {row["name"] for row in rows} >= INSTALLED
    assert {row["state"] for row in rows} == {"found"}


def test_plugins_list_can_load_them(run):
    rows = {row["name"]: row for row in json.loads(run("plugins", "list", "--json", "--load").output)}
    assert rows["hookframe-mps"]["state"] == "loaded"
    assert "check_device" in rows["hookframe-mps"]["specs"]
    assert "loaded" in run("plugins", "list", "--load").output


def test_a_plugin_can_be_left_out_by_name_and_by_variable(run, monkeypatch):
    rows = {r["name"]: r for r in json.loads(run("plugins", "list", "--json", "--no-plugin", "hookframe_log").output)}
    assert rows["hookframe-log"]["state"] == "disabled"
    assert rows["hookframe-log"]["reason"] == "left out on the command line"
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "none")
    assert "disabled" in run("plugins", "list").output


def test_no_plugins_is_said_in_words(run, monkeypatch):
    monkeypatch.setattr("hookframe.host.installed.survey.take_inventory", lambda: Inventory(()))
    assert "No plugins are installed" in run("plugins", "list").output


def test_the_demo_shows_the_whole_way(run):
    result = run("demo")
    assert result.exit_code == 0, result.output
    for part in (
        "hookframe-mps 0.1.0: loaded",
        "hook points",
        "blocks.0.hook_resid_post",
        "steered",
        "refused by    hookframe-mps, rule mps-denied",
        "remedy",
        "the model's own check_hooks_to_add",
        "What hookframe-log wrote meanwhile",
    ):
        assert part in result.output
    assert "(100% bright)" in result.output
    assert "(0% bright)" in result.output
    assert "\x1b[" not in result.output


def test_the_demo_works_without_plugins(run, monkeypatch):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "none")
    result = run("demo")
    assert result.exit_code == 0, result.output
    assert "disabled (not among the plugins that HOOKFRAME_PLUGINS names)" in result.output
    assert "hookframe-log is not installed, or was left out" in result.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HookDenied(hookframe.Decision(())), 1),
        (UnknownHookPoint("the model has no hook point 'x'"), 2),
        (PluginError("a plugin failed"), 4),
    ],
)
def test_errors_become_a_line_and_an_exit_code(error, code, monkeypatch, capsys):
    def fail():
        raise error

    monkeypatch.setattr(command, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith("hookframe: ")


def test_specs_are_shown_as_they_are_documented(run):
    from hookframe import hookspecs

    result = run("specs")
    assert result.exit_code == 0
    for name in (*hookspecs.VALIDATORS, *hookspecs.OBSERVERS, *hookspecs.PROVIDERS):
        assert f"hookframe_{name}(" in result.output
    one = run("specs", "check_device").output
    assert one.startswith("hookframe_check_device(request, model)  validator\n    Called when a device was chosen")
    assert one == run("specs", "hookframe_check_device").output


def test_specs_are_there_for_programs(run):
    (spec,) = json.loads(run("specs", "wrap_hook", "--json").output)
    assert (spec["kind"], spec["arguments"]) == ("provider", ["request", "hook"])


def test_an_unknown_spec_is_a_usage_error(run):
    result = run("specs", "check_everything")
    assert result.exit_code == 2
    assert "there is no spec 'check_everything'" in result.output
