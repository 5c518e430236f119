"""Where a module would come from, found without importing it or the packages that it lies in."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder

__all__ = ["locate"]


def locate(module: str) -> ModuleSpec | None:
    """Where ``module`` would be imported from; None if it is nowhere.

    ``importlib.util.find_spec`` imports the parents of what it is asked for, and so runs the code of a plugin that may not
    be allowed to load. This function asks each finder for one part after the other.
    """
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        if depth > 1 and path is None:
            return None  # the part before is no package
        spec = _ask_finders(".".join(parts[:depth]), path)
        if spec is None:
            return None
        path = _places(spec)
    return spec


def _ask_finders(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)  # a finder may lack it: the protocol has no required method
        # The path finder looks for the last part of a name; given all of it, it asks for the parents of a namespace
        # package in sys.modules, where they are not.
        asked = name.rpartition(".")[2] if finder is PathFinder else name
        with suppress(KeyError):  # finders that call the path finder fail for the same reason
            spec: ModuleSpec | None = None if find is None else find(asked, path)
            if spec is not None:
                return spec
    return None


def _places(spec: ModuleSpec) -> list[str] | None:
    return None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
