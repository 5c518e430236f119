"""A new plugin: complete, green as it is written, and at work once it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import hookframe
from hookframe import PluginNameError
from hookframe.cli.main import cli
from hookframe.scaffold.writing import NewPlugin, write_plugin


@pytest.fixture
def written(tmp_path):
    write_plugin(NewPlugin.named("Layer_Guard", "Ada Lovelace"), tmp_path)
    return tmp_path / "hookframe-layer-guard"


def run(*command, cwd, **environment):
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_is_a_whole_distribution(written):
    files = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    assert files == {
        ".github/workflows/tests.yml",
        ".gitignore",
        "LICENSE",
        "README.md",
        "hookframe_layer_guard/__init__.py",
        "hookframe_layer_guard/plugin.py",
        "hookframe_layer_guard/py.typed",
        "hookframe_layer_guard/read_only_points.py",
        "hookframe_layer_guard/tally.py",
        "pyproject.toml",
        "tests/test_plugin.py",
        "tox.ini",
    }
    assert "Ada Lovelace" in (written / "LICENSE").read_text()
    project = tomllib.loads((written / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["hookframe.plugins"] == {"layer-guard": "hookframe_layer_guard.plugin:Plugin"}
    assert not [path for path in written.rglob("*") if path.is_file() and "{{" in path.read_text()]


def test_its_tests_pass_as_they_are(written):
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=written, PYTHONPATH=str(written))
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


def test_its_tests_notice_a_broken_validator(written):
    file = written / "hookframe_layer_guard" / "read_only_points.py"
    file.write_text(file.read_text().replace('request.effect == "edit" and', 'request.effect == "never" and'))
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=written, PYTHONPATH=str(written))
    assert done.returncode == 1
    assert "2 failed" in done.stdout


@pytest.mark.parametrize("name", ["", "1st", "a b", "a/b", "../evil", "a--", "{{ 7 * 7 }}", "x; rm", "ä"])
def test_a_name_that_makes_no_package_is_refused(name):
    with pytest.raises(PluginNameError, match="makes no plugin name"):
        NewPlugin.named(name, "Ada")


@pytest.mark.parametrize("author", ['A "B"', "A\nB", "A\\B"])
def test_an_author_that_would_break_the_files_is_refused(author):
    with pytest.raises(PluginNameError, match="leave them out"):
        NewPlugin.named("guard", author)


def test_an_author_that_looks_like_a_template_is_text(tmp_path):
    write_plugin(NewPlugin.named("guard", "{{ 7 * 7 }} {% raw %}"), tmp_path)
    assert "{{ 7 * 7 }} {% raw %}" in (tmp_path / "hookframe-guard" / "LICENSE").read_text()


def test_what_is_there_already_is_left_alone(tmp_path):
    plugin = NewPlugin.named("guard", "Ada")
    folder, *_ = write_plugin(plugin, tmp_path)
    (folder / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match="is there already"):
        write_plugin(plugin, tmp_path)
    assert (folder / "README.md").read_text() == "mine"


@pytest.mark.fault("a disk or directory that is full, read-only, damaged or gone")
def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    write, done = Path.write_text, []

    def full(path, *arguments, **options):
        if len(done) == 3:
            raise OSError("no space left")
        done.append(path)
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space left"):
        write_plugin(NewPlugin.named("guard", "Ada"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_it_and_says_what_comes_next(tmp_path):
    result = CliRunner().invoke(cli, ["plugins", "new", "guard", "--into", str(tmp_path), "--author", "Ada"])
    assert result.exit_code == 0, result.output
    assert "hookframe-guard: 12 files" in result.output
    assert "pip install -e" in result.output
    again = CliRunner().invoke(cli, ["plugins", "new", "guard", "--into", str(tmp_path)])
    assert again.exit_code == 1
    assert "is there already" in again.output


def test_the_generated_plugin_refuses_a_hook(written, monkeypatch):
    monkeypatch.syspath_prepend(written)
    from hookframe_layer_guard.plugin import Plugin

    point = hookframe.HookPoint()
    point.name = "blocks.0.hook_a"
    options = {"hookframe-layer-guard": {"read_only": ["blocks.0.*"]}}
    with hookframe.use_plugins(Plugin, options=options), pytest.raises(hookframe.HookDenied, match="read-only here"):
        point.add_hook(lambda tensor, hook: tensor * 0)
