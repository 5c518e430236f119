"""What the hook points of another library are called: TransformerLens's, or ones that are built as these are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from hookframe.core.model.hook_point import HookPoint

__all__ = ["below", "is_foreign_point", "names_by_model"]

_KEPT_THERE = ("fwd_hooks", "bwd_hooks", "hook_conversion")


def is_foreign_point(module: nn.Module) -> bool:
    """True for a hook point that is built as TransformerLens's are, and is not hookframe's."""
    if isinstance(module, HookPoint) or not all(name in module.__dict__ for name in _KEPT_THERE):
        return False
    return any(kind.__name__ == "HookPoint" for kind in type(module).__mro__)


def names_by_model(modules: Mapping[str, nn.Module]) -> dict[str, list[tuple[str, str]]]:
    """Name of each foreign point's module → the models that name the point, each with its name there.

    A model such as ``TransformerBridge`` computes these names, aliases included. In a dict that anybody can write to, a name
    counts if the point lies there.
    """
    points = {name: module for name, module in modules.items() if is_foreign_point(module)}
    told: dict[int, dict[tuple[str, str], None]] = {}
    for outer, model in modules.items() if points else ():
        names = getattr(model, "hook_dict", None)
        computed = isinstance(getattr(type(model), "hook_dict", None), property)
        for name, point in names.items() if isinstance(names, Mapping) else ():
            if computed or modules.get(below(outer, name)) is point:
                told.setdefault(id(point), {})[outer, name] = None
    return {name: list(told.get(id(point), {("", name): None})) for name, point in points.items()}


def below(outer: str, name: str) -> str:
    """The full name of what is called ``name`` in the module ``outer``."""
    return f"{outer}.{name}" if outer else name
