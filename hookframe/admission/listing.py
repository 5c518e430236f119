"""Lists in messages, cut to what a reader takes in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

__all__ = ["listed"]


def listed(items: Iterable[object], most: int = 5, separator: Literal[", ", "; "] = ", ") -> str:
    """The first items, and how many there are besides: ``a, b and 3 more``, or ``a; b; and 3 more``."""
    texts = [*map(str, items)]
    shown = separator.join(texts[:most])
    if len(texts) <= most:
        return shown
    return f"{shown}{separator.strip(', ')} and {len(texts) - most} more"
