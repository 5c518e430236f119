"""One line of the log as a value: what an event says, without tensors, other people's texts or anything unbounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Entry", "Many", "counted"]


@dataclass(frozen=True, slots=True)
class Many:
    """Any number of items, of which a line shows the first few."""

    items: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def brief(self, limit: int) -> str:
        """The first ``limit`` items, and how many there are besides."""
        more = len(self) - limit
        return ", ".join(map(str, self.items[:limit])) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one event says.

    Its points, and every count of points and hooks, are those of the selected points; objections and bytes are those of
    the whole operation.

    :ivar event: the name of the spec that told it, without the prefix.
    :ivar model: the model's class, None if the event does not say.
    :ivar operation: the operation's number, None if the event does not say.
    :ivar route: the public way by which it came, None if the event does not say.
    :ivar points: the points that it is about, each once.
    :ivar facts: what is particular to this kind of event; always the same keys for one kind.
    """

    event: str
    model: str | None = None
    operation: int | None = None
    route: str | None = None
    points: Many = Many()
    facts: Mapping[str, Any] = field(default_factory=dict)


def counted(number: int, noun: str) -> str:
    """``1 hook``, ``2 hooks``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
