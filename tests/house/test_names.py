"""A class name means one thing in the package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import hookframe

PACKAGE = Path(hookframe.__file__).parent


def test_no_public_class_name_is_defined_twice():
    homes = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(file.relative_to(PACKAGE)))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
