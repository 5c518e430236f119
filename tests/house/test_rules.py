"""Rules of the house that a program can check."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import hookframe
from hookframe import hookspecs

PACKAGE = Path(hookframe.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def specs():
    return {name: value for name, value in vars(hookspecs).items() if name.startswith(hookspecs.PREFIX)}


def called_in(files, *names):
    """Which of ``files`` call a method of one of these names."""
    return {
        str(file.relative_to(PACKAGE))
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names
    }


def test_one_door_only_registration_changes_which_hooks_a_point_has():
    assert called_in(FILES, "add_attachment") == {"core/registration/attach.py"}
    # tensors have a detach() too
    taking = {str(file.relative_to(PACKAGE)) for file in FILES if "point.detach(" in file.read_text()}
    assert taking == {"core/registration/attach.py"}
    core = [file for file in FILES if "core" in file.parts]
    assert called_in(core, "_take_up") == {"core/model/hook_point.py"}


def test_only_the_hook_point_its_cell_and_the_fast_path_write_what_a_point_runs():
    writing = set()
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == "plan"
            kept_in_dict = isinstance(node, ast.Constant) and node.value in ("_traced", "_bwd")
            if kept_in_dict or (stored and "cell" in ast.unparse(node)):
                writing.add(str(file.relative_to(PACKAGE)))
    assert writing == {"core/model/hook_point.py", "core/hooks/steps.py", "core/fast_path/batch_pool.py"}


def test_every_spec_is_a_validator_an_observer_or_a_provider():
    kinds = [*hookspecs.VALIDATORS, *hookspecs.OBSERVERS, *hookspecs.PROVIDERS]
    assert sorted(hookspecs.PREFIX + name for name in kinds) == sorted(specs())


@pytest.mark.parametrize("name", specs())
def test_every_spec_says_when_it_is_called(name):
    documentation = inspect.getdoc(specs()[name])
    assert documentation.startswith("Called ")
    if name.removeprefix(hookspecs.PREFIX) in hookspecs.VALIDATORS:
        assert ":returns:" in documentation


@pytest.mark.parametrize("name", specs())
def test_every_spec_is_used_by_a_test(name):
    tests = Path(__file__).parents[1]
    short = name.removeprefix(hookspecs.PREFIX)
    used = [f for f in tests.rglob("test_*.py") if name in f.read_text() or f'"{short}"' in f.read_text()]
    assert used


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_holds_one_noun_whole(file):
    lines = len(file.read_text().splitlines())
    assert lines <= 550, f"{file.name} has {lines} lines: one noun, whole, in one file; move a second noun to its own"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_user_mistake_is_reported_by_assert(file):
    assert not [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Assert)]
