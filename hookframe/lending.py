"""A public module that lends names from the rooms behind it, and imports a room when one of its names is first used."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["lend"]


def lend(face: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The ``__getattr__``, the ``__dir__`` and the ``__all__`` of a module.

    It lends what its block ``if TYPE_CHECKING:`` imports: what type checkers and the program are told is one list.

    :param face: the module's name.
    """
    homes: dict[str, tuple[str, str]] = {}
    for block in ast.parse(inspect.getsource(sys.modules[face])).body:
        if isinstance(block, ast.If) and getattr(block.test, "id", None) == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.module is not None:
                    homes.update({name.asname or name.name: (line.module, name.name) for name in line.names})

    def lent(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {face!r} has no attribute {name!r}")
        module, original = homes[name]
        value = getattr(importlib.import_module(module), original)
        setattr(sys.modules[face], name, value)
        return value

    return lent, lambda: sorted(homes), sorted(homes)
