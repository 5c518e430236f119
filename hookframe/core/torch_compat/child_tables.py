"""Whether the children of modules are what they were, at a price that does not matter."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from torch import nn

__all__ = ["CONTAINERS", "ChildTables"]


try:
    # made for torch's compiler: an order of magnitude cheaper than comparing
    from torch._C._dynamo.guards import dict_version
except ImportError:  # another torch: each look finds a new number, and compares
    _numbers = itertools.count()

    def dict_version(d: dict[Any, Any]) -> int:
        """No version that any dict had before."""
        return next(_numbers)


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that are often empty when their model is read, and filled, or made again, after that."""


class ChildTables:
    """The tables of children of some modules.

    They are looked at directly, as what a module is made of is spread over the memory. A module that gets another table
    has its ``__dict__`` changed, so these are looked at as well, but for modules without children that are no containers.

    :param root: a module of which the table alone is kept, for somebody whom it holds.
    """

    __slots__ = ("_countable", "_empty", "_owners", "_tables", "_versions", "_watched")

    def __init__(self, modules: Iterable[nn.Module], root: nn.Module | None = None) -> None:
        known = [*modules]
        parents = [module for module in known if module._modules or isinstance(module, CONTAINERS)]
        self._empty = [module._modules for module in known if not module._modules]
        self._owners: list[dict[str, Any]] = [module.__dict__ for module in parents]
        self._tables: list[dict[str, nn.Module | None]] = [module._modules for module in parents]
        of_root: list[dict[str, Any]] = [] if root is None else [root._modules]
        self._watched = [*self._tables, *of_root, *self._owners]
        self._countable = all(isinstance(watched, dict) for watched in self._watched)  # a scripted module has none
        self._versions = [*map(dict_version, self._watched)] if self._countable else []

    def are_untouched(self) -> bool:
        """True if no child has come or gone since the last look; False if one may have."""
        return (
            self._countable
            and not any(self._empty)
            and ([*map(dict_version, self._watched)] == self._versions or self._look())
        )

    def _look(self) -> bool:
        """Whether it was something else of the modules that changed; then that is what they are from here on."""
        versions = [*map(dict_version, self._watched)]
        tables = len(versions) - len(self._owners)
        if versions[:tables] != self._versions[:tables]:
            return False
        if any(own["_modules"] is not table for own, table in zip(self._owners, self._tables, strict=True)):
            return False
        self._versions = versions
        return True
