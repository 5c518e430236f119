"""How the operator wants one plugin treated: what its failures do, and in which process it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from packaging.utils import canonicalize_name

__all__ = ["DEFAULT", "Treatment", "treatment_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """How one plugin is treated.

    :ivar failure: ``"deny"``: a validator that fails refuses; ``"warn"``: it is warned of, and after
        :data:`~hookframe.host.running.guard.TRIP_AFTER` failures in a row left out. A required plugin always refuses.
    :ivar isolation: ``"process"``: in a process of its own, if it is pure validators that do not ask for the model.
    :ivar time_limit: how long an isolated one may take to start, and for each answer, in seconds.
    """

    failure: Literal["deny", "warn"] = "deny"
    isolation: Literal["none", "process"] = "none"
    time_limit: float = 5.0


DEFAULT = Treatment()
"""The treatment of plugins that the operator did not mention."""


def treatment_of(name: str, treatments: Mapping[str, Treatment]) -> Treatment:
    """The treatment of a plugin, by its name or that of its distribution."""
    for known in (canonicalize_name(name), canonicalize_name(name.partition(":")[0])):
        if known in treatments:
            return treatments[known]
    return DEFAULT
