"""What was measured, by function."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Row", "Tally", "Timings", "merged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured of one hook function, whatever points it was attached to.

    :ivar module: the module that defines it.
    :ivar qualname: its qualified name there.
    :ivar calls: how often it ran, calls that raised among them.
    :ivar total_ns: how long all calls took together, in nanoseconds.
    :ivar longest_ns: how long the longest call took, in nanoseconds.
    :ivar failures: how often an exception of it ended an operation.
    """

    module: str
    qualname: str
    calls: int = 0
    total_ns: int = 0
    longest_ns: int = 0
    failures: int = 0

    @property
    def mean_us(self) -> float:
        """How long one call takes on average, in microseconds; 0 if there was none."""
        return self.total_ns / self.calls / 1000 if self.calls else 0.0

    def __add__(self, other: Row) -> Row:
        return Row(
            module=self.module,
            qualname=self.qualname,
            calls=self.calls + other.calls,
            total_ns=self.total_ns + other.total_ns,
            longest_ns=max(self.longest_ns, other.longest_ns),
            failures=self.failures + other.failures,
        )

    def __str__(self) -> str:
        return f"{self.module}.{self.qualname}"


def merged(rows: Iterable[Row]) -> list[Row]:
    """One row for each function, those that took longest in total first."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = (row.module, row.qualname)
        found[key] = found[key] + row if key in found else row
    return sorted(found.values(), key=lambda row: (-row.total_ns, row.module, row.qualname))


class Tally:
    """Counts the calls of one function; several threads may add to it."""

    __slots__ = ("_lock", "calls", "failures", "longest_ns", "total_ns")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = self.total_ns = self.longest_ns = self.failures = 0

    def add(self, taken_ns: int) -> None:
        """Count one call that took so many nanoseconds."""
        with self._lock:
            self.calls += 1
            self.total_ns += taken_ns
            self.longest_ns = max(self.longest_ns, taken_ns)

    def add_failure(self) -> None:
        """Count one operation that an exception of the function ended."""
        with self._lock:
            self.failures += 1

    def row(self, module: str, qualname: str, *, clear: bool) -> Row:
        """What was counted until now.

        :param clear: count from 0 again afterwards.
        """
        with self._lock:
            counted = self.calls, self.total_ns, self.longest_ns, self.failures
            if clear:
                self.calls = self.total_ns = self.longest_ns = self.failures = 0
        calls, total_ns, longest_ns, failures = counted
        return Row(
            module=module,
            qualname=qualname,
            calls=calls,
            total_ns=total_ns,
            longest_ns=longest_ns,
            failures=failures,
        )


class Timings:
    """A tally for each function that was attached."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], Tally] = {}

    def of(self, module: str, qualname: str) -> Tally:
        """The tally of a function; a new one if it is seen for the first time."""
        return self._tallies.setdefault((module, qualname), Tally())

    def rows(self, *, clear: bool = False) -> list[Row]:
        """One row for each function that ran or failed, those that took longest in total first.

        :param clear: count from 0 again afterwards; hooks that are attached go on counting.
        """
        found = [tally.row(*name, clear=clear) for name, tally in list(self._tallies.items())]
        return merged(row for row in found if row.calls or row.failures)
