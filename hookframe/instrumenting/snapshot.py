"""The modules of a model that hookframe did not write: read without changing them, and compared before each use."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from hookframe.core.hook_point import HookPoint
from hookframe.core.versions import ChildTables

__all__ = ["Snapshot", "is_called"]


def is_called(module: nn.Module) -> bool:
    """False for a module that only holds others, such as a list: it has no ``forward`` to call."""
    return getattr(module.forward, "__func__", module.forward) is not nn.Module.forward


class Snapshot:
    """What the modules of a model were when they were read.

    :ivar modules: dotted name → module, the model itself under ``""``, in the model's order. A module that is registered
        under two names is there twice.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules: dict[str, nn.Module] = {"": model, **dict(_below(model, "", ()))}
        parents = {id(module): module for module in self.modules.values()}
        self._parents = [*parents.values()]
        self._children = [dict(module._modules) for module in self._parents]
        self._tables = ChildTables(self._parents)

    @property
    def is_current(self) -> bool:
        """True if no module was added, replaced or deleted since. Linear in the modules."""
        if self._tables.are_untouched():
            return True
        if any(module._modules != known for module, known in zip(self._parents, self._children, strict=True)):
            return False
        self._tables = ChildTables(self._parents)
        return True


def _below(module: nn.Module, prefix: str, above: tuple[nn.Module, ...]) -> Iterator[tuple[str, nn.Module]]:
    for part, child in module._modules.items():
        if child is None or child in above:
            continue
        yield f"{prefix}{part}", child
        if not isinstance(child, HookPoint):
            yield from _below(child, f"{prefix}{part}.", (*above, module))
