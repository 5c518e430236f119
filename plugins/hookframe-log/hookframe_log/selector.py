"""Which hook points the log is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["Selector"]


@dataclass(frozen=True, slots=True)
class Selector:
    """Globs over point names, any of which may match: ``*``, ``?`` and ``[...]``, which go across dots.

    :ivar globs: the patterns; with none, everything is selected, also what is about no point at all.
    """

    globs: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """True if nothing is left out."""
        return not self.globs

    def __contains__(self, point: str) -> bool:
        return self.everything or any(fnmatchcase(point, glob) for glob in self.globs)

    def pick(self, points: Iterable[str]) -> tuple[str, ...]:
        """The selected ones of ``points``, each once, in their order."""
        return tuple(point for point in dict.fromkeys(points) if point in self)

    def pick_keys(self, keys: Iterable[str]) -> tuple[str, ...]:
        """The selected ones of a cache's keys, where ``name + "_grad"`` holds the gradient at the point ``name``."""
        return tuple(key for key in dict.fromkeys(keys) if key in self or key.removesuffix("_grad") in self)
