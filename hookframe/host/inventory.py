"""Which plugins are installed, from their metadata alone: nothing is imported."""

from __future__ import annotations

from dataclasses import dataclass, field

from importlib_metadata import EntryPoint, entry_points
from packaging.utils import canonicalize_name

__all__ = ["GROUP", "Candidate", "installed_plugins"]

GROUP = "hookframe.plugins"
"""The entry-point group of plugins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One entry point of the group.

    :ivar name: the distribution's normalised name.
    :ivar version: the distribution's version, None if its metadata has none.
    """

    name: str
    version: str | None
    entry_point: EntryPoint = field(compare=False)

    @property
    def place(self) -> str:
        """The entry point as its metadata writes it."""
        return f"{self.entry_point.name} = {self.entry_point.value}"


def installed_plugins() -> tuple[Candidate, ...]:
    """Every installed plugin, sorted by distribution and entry point."""
    found = [_candidate(entry_point) for entry_point in entry_points(group=GROUP)]
    return tuple(sorted(found, key=lambda candidate: (candidate.name, candidate.place)))


def _candidate(entry_point: EntryPoint) -> Candidate:
    distribution = entry_point.dist
    metadata = None if distribution is None else distribution.metadata
    name = entry_point.name if metadata is None else metadata.get("Name") or entry_point.name
    version = None if metadata is None else metadata.get("Version")
    return Candidate(name=canonicalize_name(name), version=version, entry_point=entry_point)
