"""Reasons that many points share, said once."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["folded"]

_SHOWN = 3


def folded(reasons: Mapping[str, str]) -> list[str]:
    """Lines for ``reasons``, name → reason: one for each reason, with how many names have it and the first of them.

    Reasons are the same if they differ in nothing but the name of their own point.
    """
    groups: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        groups.setdefault(reason.replace(repr(name), "'…'"), []).append(name)
    return [_line(names, reasons[names[0]], reason) for reason, names in groups.items()]


def _line(names: list[str], first: str, common: str) -> str:
    if len(names) == 1:
        return f"{names[0]}: {first}"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} points ({', '.join(names[:_SHOWN])}{more}): {common}"
