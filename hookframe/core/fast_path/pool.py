"""Planned hooks of operations that are over, for the next operations of the same kind."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["BatchPool"]

BatchT = TypeVar("BatchT")
_KINDS = 64
_OF_ONE_KIND = 4  # so many threads can run it at once without planning anew


class BatchPool(Generic[BatchT]):
    """Holds batches that no operation uses; bounded. Whatever would make them wrong replaces the pool with an empty one."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: dict[Hashable, list[BatchT]] = {}

    def take(self, kind: Hashable) -> BatchT | None:
        """A batch for an operation of this kind, the caller's alone from here on; None if there is none."""
        free = self._free.get(kind)
        try:
            return free.pop() if free else None
        except IndexError:  # another thread was faster
            return None

    def give_back(self, kind: Hashable, batch: BatchT) -> None:
        """Let the next operation of this kind have ``batch``, to which nothing else may hold on."""
        if kind not in self._free and len(self._free) >= _KINDS:
            self._free.pop(next(iter(self._free)), None)
        free = self._free.setdefault(kind, [])
        if len(free) < _OF_ONE_KIND:
            free.append(batch)
