"""What happened to hooks while a script ran: counted by an observer, told at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hookframe.admission.decision import Decision
from hookframe.admission.events import CacheFinished, HookFailed, HooksAdded, HooksRemoved, RunFinished
from hookframe.hookspecs import hookimpl

__all__ = ["RunReport"]


@dataclass(slots=True)
class RunReport:
    """An observer that counts.

    :ivar verdicts: how many decisions allowed, allowed with objections, and denied.
    :ivar objections: (action, who and where, message, remedy) → to how many requests.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    objections: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    _unfired: set[tuple[int, str]] = field(default_factory=set)
    failed: Counter[str] = field(default_factory=Counter)
    stale: Counter[str] = field(default_factory=Counter)
    attached: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    bytes_cached: int = 0

    @hookimpl
    def hookframe_decision_made(self, decision: Decision) -> None:
        """Count a decision and its objections."""
        verdict = "denied" if not decision.allowed else "with objections" if decision.objections else "allowed"
        self.verdicts[verdict] += 1
        for objection in decision.objections:
            self.objections[str(objection.action), objection.by, objection.message, objection.remedy] += 1

    @hookimpl
    def hookframe_hooks_added(self, event: HooksAdded) -> None:
        """Remember what is attached."""
        self.attached.update(request.point or "?" for request in event.requests)

    @hookimpl
    def hookframe_hooks_removed(self, event: HooksRemoved) -> None:
        """Forget what is off again."""
        self.attached.subtract(event.points)

    @hookimpl
    def hookframe_run_finished(self, event: RunFinished) -> None:
        """Count a run, and the hooks that it never reached; a backward pass may reach some of these later."""
        if event.late:
            self._unfired.difference_update((event.operation, point) for point, _ in event.counts)
            return
        self.runs += 1
        self.bytes_cached += event.bytes_cached
        self._unfired.update((event.operation, point) for point in event.never_fired)

    @property
    def silent(self) -> Counter[str]:
        """Points with a hook that never fired → in how many operations."""
        return Counter(point for _, point in self._unfired)

    @hookimpl
    def hookframe_cache_finished(self, event: CacheFinished) -> None:
        """Count what went stale."""
        self.stale.update(event.stale)

    @hookimpl
    def hookframe_hook_failed(self, event: HookFailed) -> None:
        """Count functions that raised."""
        self.failed[f"{event.function} at {event.point!r}: {event.error}: {event.message}"] += 1

    def lines(self) -> Iterator[str]:
        """The report, without a heading."""
        total = sum(self.verdicts.values())
        parts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.verdicts.items()))
        yield f"{total} decisions{': ' + parts if parts else ''}; {self.runs} runs, {self.bytes_cached} bytes cached"
        for (action, by, message, remedy), count in self.objections.most_common():
            yield f"  {action} ({count}x) {message}"
            yield f"    by {by}"
            yield f"    remedy: {remedy}"
        kinds = {
            "never fired": self.silent,
            "raised": self.failed,
            "went stale": self.stale,
            "left attached": self._left,
        }
        for what, counts in kinds.items():
            for name, count in sorted(counts.items()):
                yield f"  {what} ({count}x) {name}"

    @property
    def _left(self) -> Counter[str]:
        return +self.attached  # without those that came off again

    def facts(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "decisions": dict(self.verdicts),
            "runs": self.runs,
            "bytes_cached": self.bytes_cached,
            "objections": [
                {"action": action, "by": by, "message": message, "remedy": remedy, "count": count}
                for (action, by, message, remedy), count in self.objections.most_common()
            ],
            "never_fired": dict(self.silent),
            "raised": dict(self.failed),
            "stale": dict(self.stale),
            "left_attached": dict(self._left),
        }
