"""A policy's rules and exceptions, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from hookframe.admission.objection import Action
from hookframe.policy.language.conditions import All, FactSource
from hookframe.policy.language.vocabulary import LayerKind, Mode, Place

__all__ = ["Exemption", "PolicyOrigin", "Rule"]


@dataclass(frozen=True, slots=True)
class PolicyOrigin:
    """Where something in a policy is written.

    :ivar file: the file, as it was named.
    :ivar line: its line, from 1.
    """

    layer: LayerKind
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.layer.label} policy, {self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    :ivar places: where it is asked.
    :ivar condition: what it is about; it matches if this holds.
    :ivar action: what it asks for.
    :ivar mode: how seriously it is taken where: of its own, its file's, or a stricter one that a weaker layer gave it.
    :ivar delegates: weaker layers that may except from it.
    :ivar max_days: an exception of theirs may end so many days from today at most.
    :ivar removes: True if hooks that an exception let through are removed when it ends, even if the exception does
        not ask for it.
    :ivar unknown: what it comes to where it cannot be told whether it matches; None if it then does not.
    """

    id: str
    origin: PolicyOrigin
    places: tuple[Place, ...]
    condition: All
    action: Action
    modes: tuple[tuple[Place, Mode], ...]
    reason: str
    remedy: str
    delegates: tuple[LayerKind, ...] = ()
    max_days: int = 90
    removes: bool = False
    unknown: Action | None = None

    @property
    def name(self) -> str:
        """The rule's name, which no other layer can take: ``organisation:no-edits``."""
        return f"{self.origin.layer.label}:{self.id}"

    def answers_to(self, name: str) -> bool:
        """True if ``name`` means this rule: its id, or layer and id."""
        return name in (self.id, self.name)

    def mode_at(self, place: Place) -> Mode:
        """How seriously the rule is taken there; ``off`` where it is not asked."""
        return dict(self.modes).get(place, Mode.OFF)

    def action_at(self, place: Place) -> Action:
        """What the rule comes to there, if it matches."""
        return self.mode_at(place).applied(self.action)

    def tightened(self, mode: Mode) -> Rule:
        """The same rule, at least as strict as ``mode`` wherever it is asked."""
        modes = tuple((place, max(mode, own, key=lambda m: m.strictness)) for place, own in self.modes)
        return replace(self, modes=modes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """An exception from a rule: what it denies is let through with a recorded warning, until a date.

    :ivar rule: the rule's id, or layer and id.
    :ivar condition: what it is about; it has to hold for all that a request speaks of, not for part of it.
    :ivar until: the last day on which it holds, UTC.
    :ivar removes: True if hooks that were admitted under it are removed when it ends, else they are reported.
    """

    id: str
    origin: PolicyOrigin
    rule: str
    condition: All
    owner: str
    reason: str
    until: date
    ticket: str | None = None
    removes: bool = False

    @property
    def name(self) -> str:
        """The exception's name, which no other layer can take: ``project:steering-study``."""
        return f"{self.origin.layer.label}:{self.id}"

    def why_not(self, rule: Rule, today: date) -> str | None:
        """Why it cannot except any request from ``rule`` today; None if it may."""
        if not rule.answers_to(self.rule):
            return f"it is about rule {self.rule!r}"
        own, other = self.origin.layer, rule.origin.layer
        if own > other and own not in rule.delegates:
            return f"the {other.label} layer does not let the {own.label} layer except from {rule.id!r}"
        if today > self.until:
            return f"it ended on {self.until}"
        if own > other and self.until > today + timedelta(days=rule.max_days):
            return f"it ends on {self.until}, and the {other.label} layer allows {rule.max_days} days from today"
        return None

    def covers(self, rule: Rule, facts: FactSource, today: date) -> bool:
        """True if it excepts a request with these facts from ``rule`` today."""
        return self.why_not(rule, today) is None and self.condition.holds(facts, every=True) is True


def exemption_for(rule: Rule, exemptions: Sequence[Exemption], facts: FactSource, today: date) -> Exemption | None:
    """The first exception that covers a request which ``rule`` matches; None if there is none."""
    return next((exemption for exemption in exemptions if exemption.covers(rule, facts, today)), None)
