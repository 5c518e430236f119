"""Plugins, the generated plugin and the pages import hookframe by its public modules."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
FOR_PLUGINS = {
    "hookframe",
    "hookframe.admission.events",
    "hookframe.admission.request",
    "hookframe.audit",
    "hookframe.cli",
    "hookframe.errors",
    "hookframe.families",
    "hookframe.hookspecs",
    "hookframe.policy",
    "hookframe.testing",
}
FOR_PAGES = FOR_PLUGINS | {
    "hookframe.capture",
    "hookframe.cli.text_models",
    "hookframe.demo.grammar",
    "hookframe.demo.model",
    "hookframe.demo.steering",
}
PLUGINS = [
    *HERE.glob("plugins/*/hookframe_*/**/*.py"),
    *HERE.glob("plugins/*/README.md"),
    *HERE.glob("docs/examples/**/*.py"),
    *HERE.glob("hookframe/scaffold/template/**/*.j2"),
    HERE / "docs/tutorial/write-a-validator.md",
    HERE / "docs/how-to/add-a-model-family.md",
]
PAGES = [HERE / "README.md", *(page for page in HERE.glob("docs/**/*.md") if "_build" not in page.parts)]
IMPORTS = re.compile(
    r"^\s*(?:>>> |\.\.\. )?\s*(?:from (hookframe(?:\.\w+)*) import (\w*)|import ([\w., ]*\bhookframe\b.*))", re.M
)
FACES = [
    "hookframe.audit",
    "hookframe.capture",
    "hookframe.cli",
    "hookframe.families",
    "hookframe.policy",
    "hookframe.testing",
]


def imported(text):
    for package, name, several in IMPORTS.findall(text):
        module = f"{package}.{name}" if package == "hookframe.admission" else package  # has modules, and no names
        names = [module] if module else [each.split(" as ")[0].strip() for each in several.split(",")]
        yield from (name for name in names if name.partition(".")[0] == "hookframe")


@pytest.mark.parametrize("file", PLUGINS, ids=lambda file: str(file.relative_to(HERE)))
def test_a_plugin_imports_public_modules(file):
    assert set(imported(file.read_text(encoding="utf-8"))) <= FOR_PLUGINS


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(HERE)))
def test_a_page_imports_public_modules(file):
    assert set(imported(file.read_text(encoding="utf-8"))) <= FOR_PAGES


def test_the_rule_sees_each_way_to_import():
    text = (
        "from hookframe.core.x import y\n    from hookframe import z\n>>> import torch, hookframe.host.a as b\n"
        "... from hookframe.admission import events\nimport hookframe_log\nfrom hookframe_log import d\n"
    )
    assert [*imported(text)] == ["hookframe.core.x", "hookframe", "hookframe.host.a", "hookframe.admission.events"]


@pytest.mark.parametrize("name", FACES)
def test_a_face_lends_what_it_lists_and_nothing_else(name):
    face = importlib.import_module(name)
    assert dir(face) == sorted(face.__all__)
    assert all(getattr(face, lent) is not None for lent in face.__all__)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        face.nothing  # asking is the test


def test_importing_the_faces_loads_no_torch():
    script = f"import sys, {', '.join(FACES)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
