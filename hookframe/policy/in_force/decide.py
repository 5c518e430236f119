"""The decision: every rule that matches, and what it comes to. Everything that asks a policy asks here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from hookframe.admission.objection import Action
from hookframe.policy.files.rules import Exemption, Rule, exemption_for
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.conditions import Assumed, FactSource
from hookframe.policy.language.vocabulary import Mode, Place

__all__ = ["VERDICTS", "Match", "Ruling", "decide"]

_ORDER = {action: place for place, action in enumerate(Action)}
VERDICTS = (*map(str, Action), "allow")
"""What can be said of a request, strongest first."""
_EXCEPTED = (Action.DENY, Action.SKIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A rule that matches.

    :ivar mode: how seriously it is taken there.
    :ivar exemption: the exception that lets the request through all the same, None if there is none.
    :ivar unknown: the facts that cannot be told, if the rule matches because of them: nobody knows whether it is about this.
    """

    rule: Rule
    mode: Mode
    exemption: Exemption | None = None
    unknown: tuple[str, ...] = ()

    @property
    def action(self) -> Action:
        """What the rule comes to: its action, as its mode and the exception leave it."""
        action = _applied(self.rule, self.mode, self.unknown)
        return Action.WARN if self.exemption is not None else action


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy says to one request.

    :ivar matches: the rules that match, the strongest action first, then the strongest layer.
    """

    place: Place
    matches: tuple[Match, ...]

    @property
    def action(self) -> Action | None:
        """The strongest action of all, None if no rule matches."""
        return self.matches[0].action if self.matches else None

    @property
    def verdict(self) -> str:
        """The action as a word; ``allow`` if no rule matches."""
        return "allow" if self.action is None else str(self.action)


def decide(policy: Policy, place: Place, facts: FactSource, today: date) -> Ruling:
    """What ``policy`` says at ``place`` to a request with these facts, on this day (UTC)."""
    matches = sorted(_matches(policy, place, facts, today), key=lambda match: _ORDER[match.action])
    return Ruling(place, tuple(matches))


def _matches(policy: Policy, place: Place, facts: FactSource, today: date) -> Iterator[Match]:
    for rule in policy.rules_about(place, facts):
        held = rule.condition.holds(facts)
        if held is False:
            continue
        unknown: tuple[str, ...] = ()
        if held is None and not rule.condition.holds(Assumed(facts)):
            if rule.unknown is None:
                continue
            unknown = tuple(path for path in dict.fromkeys(rule.condition.paths()) if facts.is_unknown(path))
        mode = rule.mode_at(place)
        exemption = None
        if _applied(rule, mode, unknown) in _EXCEPTED:
            exemption = exemption_for(rule, policy.exemptions_from(rule), facts, today)
        yield Match(rule=rule, mode=mode, exemption=exemption, unknown=unknown)


def _applied(rule: Rule, mode: Mode, unknown: tuple[str, ...]) -> Action:
    """What a rule comes to before exceptions: its action, or what it says of the unknown if that is weaker."""
    action = (
        rule.action if not unknown or rule.unknown is None else max(rule.action, rule.unknown, key=_ORDER.__getitem__)
    )
    return mode.applied(action)
