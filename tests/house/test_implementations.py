"""Every spec has an implementation among the project's own plugins: what nobody here needs is not offered to others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hookframe
from hookframe import PluginManager, hookspecs
from hookframe.policy.in_force.engine import PolicyEngine
from hookframe.policy.in_force.merging import merge

PACKAGE = Path(hookframe.__file__).parent
PLUGINS = Path(__file__).parents[2] / "plugins"
SPECS = [name for name in vars(hookspecs) if name.startswith(hookspecs.PREFIX)]


def implementations(source: str) -> Iterator[str]:
    """Names of the functions that are marked as implementations, and do more than to be documented."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and any(marks(decorator) for decorator in node.decorator_list):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if any(not isinstance(statement, ast.Pass) for statement in body):
                yield node.name


def marks(decorator: ast.expr) -> bool:
    marker = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(marker, ast.Name) and marker.id == "hookimpl"


def first_party() -> list[Path]:
    """Files of the distributions under plugins/, and of the package itself, but for its test kit."""
    own = [file for file in PACKAGE.rglob("*.py") if "testing" not in file.relative_to(PACKAGE).parts]
    distributions = [file.parent for file in PLUGINS.glob("*/pyproject.toml")]
    return own + [file for folder in distributions for file in folder.glob("hookframe_*/**/*.py")]


def of_the_policy() -> set[str]:
    """What the policy implements, which makes its implementations when it is made."""
    engine = PolicyEngine(merge([]), recorded=True)
    return {hookspecs.PREFIX + spec for spec in PluginManager(engine).records[0].specs}


FOUND = of_the_policy().union(*(implementations(file.read_text(encoding="utf-8")) for file in first_party()))


@pytest.mark.parametrize("name", SPECS)
def test_every_spec_has_an_implementation_of_our_own(name):
    assert name in FOUND


def test_nothing_else_is_implemented():
    assert set(SPECS) >= FOUND


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("@hookimpl\ndef hookframe_a(): return 1", ["hookframe_a"]),
        ("@hookimpl(optionalhook=True)\ndef hookframe_a(): return 1", ["hookframe_a"]),
        ("class P:\n    @hookimpl\n    def hookframe_a(self):\n        'Says so.'\n        return 1", ["hookframe_a"]),
        ("def hookframe_a(): return 1", []),
        ("@hookspec\ndef hookframe_a(): return 1", []),
        ("@hookimpl\ndef hookframe_a():\n    'Only says so.'", []),
        ("@hookimpl\ndef hookframe_a(): pass", []),
    ],
)
def test_what_counts_as_one(source, found):
    assert list(implementations(source)) == found
