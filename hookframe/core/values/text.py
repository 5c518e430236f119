"""Texts for messages: a shortened value, and reasons that points share, each stated once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookframe.admission.listing import listed

__all__ = ["describe", "folded"]


def describe(value: Any) -> str:
    """The repr of ``value``, cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def folded(reasons: Mapping[str, str]) -> list[str]:
    """One line for each distinct reason: how many points share it, and the first of them.

    Reasons that differ only in the name of their own point count as one.

    :param reasons: point name → reason.
    """
    groups: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        groups.setdefault(reason.replace(repr(name), "'…'"), []).append(name)
    return [
        f"{names[0]}: {reasons[names[0]]}" if len(names) == 1 else f"{len(names)} points ({listed(names, 3)}): {reason}"
        for reason, names in groups.items()
    ]
