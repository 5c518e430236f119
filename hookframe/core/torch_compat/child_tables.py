"""A check, cheap enough for every run, of whether the children of modules have changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from torch import nn

__all__ = ["CONTAINERS", "ChildTables"]

try:
    # made for torch's compiler: an order of magnitude cheaper than comparing
    from torch._C._dynamo.guards import dict_version
except ImportError:  # another torch: each check finds a new number, and compares
    _numbers = itertools.count()

    def dict_version(d: dict[Any, Any]) -> int:
        """A version that no dict had before."""
        return next(_numbers)


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that are often still empty when hookframe reads their model, and are filled or replaced later."""


class ChildTables:
    """The tables of children of some modules.

    They are kept directly, since the parts of a module are spread over memory. Giving a module another table changes its
    ``__dict__``, so the dicts are watched as well, except those of modules that have no children and are no containers.

    :param root: a module of which only the table is kept, for a caller that ``root`` itself holds.
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
        """True if no child was added or removed since the last check; False if one may have been."""
        return (
            self._countable
            and not any(self._empty)
            and ([*map(dict_version, self._watched)] == self._versions or self._look())
        )

    def _look(self) -> bool:
        """True if something other than the children changed; later checks then compare with the versions of now."""
        versions = [*map(dict_version, self._watched)]
        tables = len(versions) - len(self._owners)
        if versions[:tables] != self._versions[:tables]:
            return False
        if any(own["_modules"] is not table for own, table in zip(self._owners, self._tables, strict=True)):
            return False
        self._versions = versions
        return True
