"""Planned hooks of operations that are over, for the next ones of the same kind."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookframe.core.batch import Batch

__all__ = ["BatchPool"]

_KINDS = 64
_OF_ONE_KIND = 4  # so many threads can run it at once without planning anew


class BatchPool:
    """Holds batches that nobody uses; bounded. Whatever would make them wrong replaces the pool with an empty one."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: dict[Hashable, list[Batch]] = {}

    def take(self, kind: Hashable) -> Batch | None:
        """A batch for an operation of this kind, the caller's alone from here on; None if there is none."""
        free = self._free.get(kind)
        try:
            return free.pop() if free else None
        except IndexError:  # another thread was faster
            return None

    def give_back(self, kind: Hashable, batch: Batch) -> None:
        """Let the next operation of this kind have ``batch``, which nobody may hold on to."""
        if kind not in self._free and len(self._free) >= _KINDS:
            self._free.pop(next(iter(self._free)), None)
        free = self._free.setdefault(kind, [])
        if len(free) < _OF_ONE_KIND:
            free.append(batch)
