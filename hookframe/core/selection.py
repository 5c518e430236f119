"""What a names filter means in one model, as far as it can be kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint

__all__ = ["Selected", "Selection", "SweptName"]


class SweptName(str):
    """A name that a filter swept up, as against one that the user wrote."""

    __slots__ = ()


class Selected(NamedTuple):
    """One hook point that a filter means.

    :ivar exact: True if it was asked for by this name.
    """

    name: str
    point: HookPoint
    exact: bool

    @property
    def asked(self) -> str:
        """The name for the verbs of the model, which remember whether a user wrote it."""
        return self.name if self.exact else SweptName(self.name)


class Selection:
    """The hook points that a filter means, in the model's order; compared by identity.

    The same object stands for the same points as long as the model's tree is the same.
    """

    __slots__ = ("__weakref__", "entries")

    def __init__(self, entries: Iterable[Selected]) -> None:
        self.entries = tuple(entries)

    def __iter__(self) -> Iterator[Selected]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
