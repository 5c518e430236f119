"""What a journal says, read back: each record as a value, with what it refers to in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hookframe.admission.decision import Decision
from hookframe.admission.objection import Objection
from hookframe.admission.request import FunctionInfo, Request

__all__ = ["DecisionEntry", "Entry", "EventEntry", "Fact", "Problem", "RecordedFunction"]

Fact: TypeAlias = str | bool | int | float | tuple[str, ...] | None
"""What a journal keeps of a fact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFunction(FunctionInfo):
    """Where a function came from when it was recorded.

    :ivar installed: the distribution that its module belonged to then.
    """

    installed: str | None = None

    @property
    def distribution(self) -> str | None:
        """The distribution that the function's module belonged to when it was recorded; None if there was none."""
        return self.installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A line that cannot be used.

    :ivar place: its place in the file, from 1.
    """

    segment: str
    place: int
    message: str

    def __str__(self) -> str:
        return f"{self.segment}, line {self.place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionEntry:
    """A decision, as it was recorded.

    :ivar number: the number of the record in its segment.
    :ivar place: its line in the file, from 1.
    :ivar time: when it was recorded, in seconds since 1970.
    :ivar clock: the time for which it was decided.
    :ivar decision: the decision itself; its requests' functions are :class:`RecordedFunction`, without file and line.
    :ivar facts: what it looked at of model, device, versions and environment; None if nobody said.
    :ivar left_out: names of facts that were not written down.
    :ivar errors: the types of the exceptions that plugins raised.
    """

    segment: str
    number: int
    place: int
    time: float
    clock: float
    decision: Decision
    facts: Mapping[str, Any] | None = None
    left_out: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """A name for the decision that no other has: segment and number of the decision."""
        return f"{self.segment}:{self.decision.number}"

    @property
    def requests(self) -> tuple[Request, ...]:
        """What was asked for."""
        return tuple(self.decision.requests)

    @property
    def objections(self) -> tuple[Objection, ...]:
        """Every objection."""
        return self.decision.objections


@dataclass(frozen=True, slots=True, kw_only=True)
class EventEntry:
    """Any other record: an event in the life of hooks, the header, the footer, or a count of records that were lost.

    :ivar kind: ``header``, ``footer``, ``lost``, or the name of the event's spec without its prefix.
    :ivar time: when it was recorded, in seconds since 1970.
    :ivar facts: what it says besides; lists of names are in their place.
    """

    segment: str
    number: int
    place: int
    kind: str
    time: float
    facts: Mapping[str, Any] = field(default_factory=dict)


Entry: TypeAlias = DecisionEntry | EventEntry
