"""Why a policy says what it says: each rule, whether it matches, and what stands in its way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from hookframe.policy.files.rules import Rule
from hookframe.policy.in_force.decide import Match, Ruling, decide
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.conditions import Comparison, Condition, FactSource, as_toml
from hookframe.policy.language.vocabulary import Mode, Place

__all__ = ["Explanation", "RuleTrace", "explain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """One rule's part in a decision.

    :ivar match: how it matches, None if it does not.
    :ivar reasons: why it does not match, one for each condition that fails; or why an exception from it does not hold.
    """

    rule: Rule
    match: Match | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, with every rule's part in it.

    :ivar traces: of the rules that match, the one that decides first; then of the others that were asked.
    """

    ruling: Ruling
    traces: tuple[RuleTrace, ...]

    @property
    def winner(self) -> RuleTrace | None:
        """The rule that decides, None if no rule matches."""
        return self.traces[0] if self.ruling.matches else None

    def role_of(self, trace: RuleTrace) -> str:
        """What became of a rule, as a phrase."""
        winner = self.winner
        if trace.match is None:
            return "does not match"
        if winner is None or trace is winner:
            return f"decides: {trace.match.action}"
        if winner.match is not None and trace.match.action is winner.match.action:
            return f"agrees: {trace.match.action}"
        return f"matches with {trace.match.action}, and a stronger rule decides"


def explain(policy: Policy, place: Place, facts: FactSource, today: date) -> Explanation:
    """The decision that :func:`~hookframe.policy.in_force.decide.decide` makes, and why."""
    ruling = decide(policy, place, facts, today)
    matched = {match.rule.name: match for match in ruling.matches}
    hits = [
        RuleTrace(rule=match.rule, match=match, reasons=tuple(_exceptions(policy, match, facts, today)))
        for match in ruling.matches
    ]
    misses = [
        RuleTrace(rule=rule, match=None, reasons=tuple(_why_not(rule, place, facts)))
        for rule in policy.rules
        if rule.name not in matched and place in rule.places
    ]
    return Explanation(ruling, (*hits, *misses))


def _why_not(rule: Rule, place: Place, facts: FactSource) -> Iterator[str]:
    if rule.mode_at(place) is Mode.OFF:
        yield f"it is off at {place!r}"
        return
    for part in rule.condition.parts:
        if part.holds(facts) is not True:
            yield _failed(part, facts)


def _failed(part: Condition, facts: FactSource, every: bool = False) -> str:
    """A condition that does not hold, with the facts that it looks at."""
    values = {path: facts.get(path) for path in dict.fromkeys(part.paths())}
    known = ", ".join(f"{path} is {as_toml(value)}" for path, value in values.items())
    scope = " of all of them" if every and not isinstance(part, Comparison) else ""
    unknown = "cannot be told, " if part.holds(facts, every) is None else ""
    return f"{part}{scope}: {unknown}{known}"


def _exceptions(policy: Policy, match: Match, facts: FactSource, today: date) -> Iterator[str]:
    for exemption in policy.exemptions_from(match.rule):
        if match.exemption is exemption:
            yield f"exception {exemption.name} of {exemption.owner} lets it through until {exemption.until}"
            continue
        reason = exemption.why_not(match.rule, today)
        failed = [part for part in exemption.condition.parts if part.holds(facts, every=True) is not True]
        if reason is None and failed:
            reason = _failed(failed[0], facts, every=True)
        if reason is not None:
            yield f"exception {exemption.name} does not hold: {reason}"
