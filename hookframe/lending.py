"""A public module that lends names from the rooms behind it, and imports a room when one of its names is first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lend"]


def lend(face: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and the ``__dir__`` of a module.

    :param face: the module's name.
    :param homes: lent name → the module that defines it.
    """

    def lent(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {face!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[face], name, value)
        return value

    return lent, lambda: sorted(homes)
