"""The hook points of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from hookframe.core.model.hook_point import HookPoint
from hookframe.instrumenting.module_point import points_on

__all__ = ["all_points", "known_points"]


def known_points(model: nn.Module) -> list[tuple[str, HookPoint]]:
    """Names and hook points: those that the model's verbs know, then those that are in the model besides."""
    known: Mapping[str, Any] = getattr(model, "hook_dict", {})
    points = [(name, point) for name, point in known.items() if isinstance(point, HookPoint)]
    seen = {id(point) for _, point in points}
    there = model.named_modules()
    return points + [(name, m) for name, m in there if isinstance(m, HookPoint) and id(m) not in seen]


def all_points(model: nn.Module) -> list[HookPoint]:
    """The known points, and those that any instrument has put around the modules of ``model``; each once."""
    around = [point for module in model.modules() for point in points_on(module)]
    return [*{id(point): point for point in (*(point for _, point in known_points(model)), *around)}.values()]
