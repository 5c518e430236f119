"""Deciding anew what a journal recorded, under another policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from hookframe.admission.objection import Objection
from hookframe.admission.request import Request
from hookframe.audit.entries import DecisionEntry
from hookframe.policy.in_force.decide import VERDICTS, Ruling, decide
from hookframe.policy.in_force.governing import NAME
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.facts import RecordedFacts, RequestFacts, place_of

__all__ = ["Change", "Replayed", "replay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A request that would be decided otherwise.

    :ivar decision: the id of the recorded decision.
    :ivar before: the verdict then: deny, skip, warn, audit or allow.
    :ivar after: the verdict under the other policy.
    :ivar rules: the rules that decide it: of the recorded policy if it becomes weaker, else of the other one.
    """

    decision: str
    request: Request
    before: str
    after: str
    rules: tuple[str, ...]

    @property
    def stricter(self) -> bool:
        """True if the other policy is stricter here."""
        return VERDICTS.index(self.after) < VERDICTS.index(self.before)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one recorded decision comes to.

    :ivar guessed: True if no facts of the model and the environment were recorded, so that rules about them did not match.
    :ivar unknown: facts that the policy looks at there, and that were left out of the journal: it cannot be said what it
        would decide, and no change is told.
    """

    entry: DecisionEntry
    changes: tuple[Change, ...]
    guessed: bool
    unknown: tuple[str, ...] = ()


def replay(entries: Iterable[object], policy: Policy, today: date | None = None) -> Iterator[Replayed]:
    """Decide each decision among ``entries`` anew.

    What plugins and the model's own check objected to stays as it was recorded; the policy's part is decided anew.

    :param today: the day on which it is decided; that of the record if None.
    """
    for entry in entries:
        if isinstance(entry, DecisionEntry):
            places = {place_of(request) for request in entry.requests}
            looked_at = {path for place in places for path in policy.paths_at(place)}
            unknown = tuple(sorted(looked_at & set(entry.left_out)))
            asked = () if unknown else entry.requests
            changes = tuple(change for request in asked for change in _changed(entry, request, policy, today))
            yield Replayed(entry, changes, guessed=entry.facts is None, unknown=unknown)


def _changed(entry: DecisionEntry, request: Request, policy: Policy, today: date | None) -> Iterator[Change]:
    day = today or datetime.fromtimestamp(entry.clock, UTC).date()
    facts = RequestFacts(request, RecordedFacts(entry.facts or {}))
    ruling = decide(policy, place_of(request), facts, day)
    said = [objection for objection in entry.objections if objection.request == request]
    others = [objection for objection in said if objection.source.partition("#")[0] != NAME]  # numbered, if taken
    before = _strongest(said)
    after = min(_strongest(others), ruling.verdict, key=VERDICTS.index)
    if before != after:
        rules = _rules_of(ruling, after) if VERDICTS.index(after) < VERDICTS.index(before) else _recorded(said, before)
        yield Change(decision=entry.id, request=request, before=before, after=after, rules=rules)


def _strongest(objections: Iterable[Objection]) -> str:
    return min((str(objection.action) for objection in objections), key=VERDICTS.index, default="allow")


def _rules_of(ruling: Ruling, verdict: str) -> tuple[str, ...]:
    return tuple(match.rule.name for match in ruling.matches if str(match.action) == verdict)


def _recorded(objections: Iterable[Objection], verdict: str) -> tuple[str, ...]:
    return tuple(objection.rule for objection in objections if str(objection.action) == verdict)
