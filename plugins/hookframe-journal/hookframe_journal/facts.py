"""Which facts about models and the environment a journal keeps: those on a list, if they are plain and short."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["USUAL_FACTS", "KeptFacts", "keep"]

USUAL_FACTS = (
    "family",
    "model.*",
    "device.*",
    "torch.version",
    "hookframe.version",
    "python.version",
    "platform.system",
    "env.*",
)
"""Patterns for the facts that are kept unless the operator says otherwise. What may be asked of the environment at all,
the policy says."""

_LONGEST = 256
_MOST = 64


@dataclass(frozen=True, slots=True)
class KeptFacts:
    """What is written down of the facts that a decision looked at.

    :ivar left_out: names of facts that are not written down, sorted.
    """

    values: Mapping[str, Any]
    left_out: tuple[str, ...] = ()


def keep(facts: Mapping[str, Any], allowed: Collection[str] = USUAL_FACTS) -> KeptFacts:
    """The facts that ``allowed`` names, as plain data; long texts, tensors and all other objects are left out."""
    values = {
        str(name): list(value) if isinstance(value, tuple) else value
        for name, value in facts.items()
        if _is_plain(value) and any(fnmatchcase(str(name), pattern) for pattern in allowed)
    }
    return KeptFacts(values, tuple(sorted(str(name) for name in facts if str(name) not in values)))


def _is_plain(value: object) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) <= _LONGEST  # type: ignore[arg-type]  # it is a string
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]  # it is a number
    if kind is int:
        return abs(value) < 2**63  # type: ignore[arg-type]  # it is a number
    if kind is tuple:
        return len(value) <= _MOST and all(type(item) is str and len(item) <= _LONGEST for item in value)  # type: ignore[arg-type,attr-defined]  # it is a tuple
    return value is None or kind is bool
