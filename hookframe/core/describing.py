"""Values in error messages."""

from __future__ import annotations

from typing import Any

__all__ = ["describe"]


def describe(value: Any) -> str:
    """The repr of ``value``, cut."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
