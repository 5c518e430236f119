"""Other hook managers, where they are installed; none of them is needed."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

__all__ = ["nnsight", "transformer_lens"]


def transformer_lens() -> Any | None:
    """Something with ``HookPoint`` and ``HookedRootModule``; None if TransformerLens is not installed."""
    points, package = _optional("transformer_lens.hook_points"), _optional("transformer_lens")
    if points is None or package is None:
        return None
    return SimpleNamespace(HookPoint=points.HookPoint, HookedRootModule=package.HookedRootModule)


def nnsight() -> Any | None:
    """nnsight; None if it is not installed."""
    return _optional("nnsight")


def _optional(name: str) -> Any | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
