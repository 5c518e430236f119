"""What was measured, by function."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Row", "Tally", "Timings", "merged"]


_NOTED = 256
"""So many times are noted before they are added up."""


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
    """Counts the calls of one function; several threads may add to it.

    Times are only noted as they come, since a hook waits for that, and added up now and then.
    """

    __slots__ = ("_calls", "_failures", "_lock", "_longest_ns", "_noted", "_total_ns")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: list[int] = []
        self._calls = self._total_ns = self._longest_ns = self._failures = 0

    def add(self, taken_ns: int) -> None:
        """Count one call that took so many nanoseconds."""
        self._noted.append(taken_ns)
        if len(self._noted) >= _NOTED:
            with self._lock:
                self._add_up()

    def add_failure(self) -> None:
        """Count one operation that an exception of the function ended."""
        with self._lock:
            self._failures += 1

    def row(self, module: str, qualname: str, *, clear: bool) -> Row:
        """What was counted until now.

        :param clear: count from 0 again afterwards.
        """
        with self._lock:
            self._add_up()
            row = Row(
                module=module,
                qualname=qualname,
                calls=self._calls,
                total_ns=self._total_ns,
                longest_ns=self._longest_ns,
                failures=self._failures,
            )
            if clear:
                self._calls = self._total_ns = self._longest_ns = self._failures = 0
        return row

    def _add_up(self) -> None:
        number = len(self._noted)  # other threads may note more meanwhile: those stay for the next time
        times = self._noted[:number]
        del self._noted[:number]
        self._calls += number
        self._total_ns += sum(times)
        self._longest_ns = max(self._longest_ns, *times, 0)


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
