"""One line of the report: what was measured, against what, and what must be reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

__all__ = ["NEAR", "Row", "middle", "show"]

NEAR = 1.05
"""So many times as long as a floor counts as near it."""


@dataclass(slots=True, kw_only=True)
class Row:
    """Times of one piece of work, done by hookframe and by others.

    :ivar number: the target that it belongs to; ``"-"`` for none.
    :ivar what: the work.
    :ivar seconds: system → seconds, or bytes for memory. ``"hookframe"`` is always there.
    :ivar limits: system → how many times as long as it hookframe may take.
    :ivar floor: the system that does the same work by hand; where that misses a target itself, coming near it counts as
        reaching it.
    :ivar near: how many times as long as the floor is near it.
    :ivar absolute: so many seconds hookframe may take at most, None for no such limit.
    :ivar unit: ``"s"`` or ``"bytes"``.
    :ivar per: what the figures are divided by, for a time for each point.
    :ivar ranges: system → the least and the most of the ratio to it, where it was measured in several processes.
    """

    number: str
    what: str
    seconds: dict[str, float]
    limits: dict[str, float] = field(default_factory=dict)
    floor: str | None = None
    near: float = NEAR
    absolute: float | None = None
    unit: str = "s"
    per: int = 1
    threads: str = "1"
    note: str = ""
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def ratio(self, other: str) -> float:
        """How many times as long as ``other`` hookframe takes."""
        return self.seconds["hookframe"] / self.seconds[other]

    @property
    def reached(self) -> bool | None:
        """True if every target is; None if there is none that could be measured."""
        return None if self._taken is None else self._taken <= 1

    @property
    def _taken(self) -> float | None:
        """How much it takes of the limit that is nearest; of what is near the floor, if the floor misses a limit itself."""
        limits = {other: limit for other, limit in self.limits.items() if other in self.seconds}
        parts = [self.ratio(other) / limit for other, limit in limits.items()]
        if self.absolute is not None:
            parts.append(self.seconds["hookframe"] / self.per / self.absolute)
        if not parts:
            return None
        floor = self.floor
        if floor in self.seconds and any(self.seconds[floor] / self.seconds[o] > limit for o, limit in limits.items()):
            return min(max(parts), self.ratio(floor) / self.near)
        return max(parts)

    @property
    def decisive(self) -> float:
        """What tells a better run from a worse one: how much of the target it takes, 1 at most where that is reached.

        Where there is no target, the ratio to the first other; where there is nobody to compare with, the time itself.
        """
        taken = self._taken
        if taken is None:
            return next((self.ratio(name) for name in self.seconds if name != "hookframe"), self.seconds["hookframe"])
        return taken

    @property
    def targets(self) -> str:
        """The targets in words."""
        parts = [f"≤ {limit:g}x {other}" for other, limit in self.limits.items()]
        if self.floor is not None:
            parts[-1] += f" (or {self.near:g}x {self.floor}, if that misses it)"
        if self.absolute is not None:
            parts.append(f"≤ {show(self.absolute, self.unit)}")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return asdict(self) | {"reached": self.reached}


def middle(runs: Sequence[Row]) -> Row:
    """Of the same row, measured in several processes, the one in the middle (the worse one of two), and how far apart they are."""
    ordered = sorted(runs, key=lambda row: row.decisive)
    found = ordered[len(ordered) // 2]
    ratios = {name: [row.ratio(name) for row in runs if name in row.seconds] for name in found.seconds}
    spread = {name: (min(each), max(each)) for name, each in ratios.items() if name != "hookframe" and len(each) > 1}
    notes = "; ".join(dict.fromkeys(row.note for row in ordered if row.note))  # what was wrong once is said
    return replace(found, ranges=spread, note=notes)


def show(value: float, unit: str) -> str:
    """A figure with its unit."""
    if unit == "bytes":
        return f"{value / 2**20:.1f} MiB"
    for size, name in ((1e-6, "ns"), (1e-3, "µs"), (1.0, "ms")):
        if value < size:
            return f"{value / size * 1e3:.3g} {name}"
    return f"{value:.3g} s"
