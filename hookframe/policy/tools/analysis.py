"""What is odd about a policy that can be read: rules that can never match or never matter, exceptions that do not hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from hookframe.admission.family import ModelFamily
from hookframe.admission.objection import Action
from hookframe.policy.files.mistakes import Mistake, near
from hookframe.policy.files.rules import Exemption, Rule
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.conditions import Comparison, Condition, OneOf
from hookframe.policy.language.implication import conjuncts, implies, why_impossible
from hookframe.policy.language.vocabulary import Mode, Place, fact
from hookframe.policy.tools.never import unknown_points, unknown_words

__all__ = ["analyse"]

_ORDER = list(Action)


def analyse(
    policy: Policy, today: date, points: Sequence[str] | None = None, families: Sequence[ModelFamily] = ()
) -> list[Mistake]:
    """Everything odd, in the order of the files.

    :param points: names of a model's points, to find globs that match none of them; None if there is no model.
    :param families: those that the installed plugins know, to find families and canonical names that none of them has.
    """
    found = [
        *policy.notes,
        *_rules(policy),
        *(note for exemption in policy.exemptions for note in _exemption(policy, exemption, today)),
        *_words(policy, points, families),
    ]
    return sorted(found, key=lambda note: (note.file, note.line))


def _about(thing: Rule | Exemption, message: str) -> Mistake:
    return Mistake(thing.origin.file, thing.origin.line, thing.id, message)


def _rules(policy: Policy) -> Iterator[Mistake]:
    for rule in policy.rules:
        impossible = why_impossible(rule.condition)
        if impossible:
            yield _about(rule, f"can never match: {impossible}")
            continue
        if "request.estimated_bytes" in rule.condition.paths():
            yield _about(
                rule,
                "looks at request.estimated_bytes, known where bytes are estimated (hookframe capture, capture(max_bytes=)) "
                "and nowhere else: see bytes_cached at 'run'",
            )
        needless = [layer.label for layer in rule.delegates if layer <= rule.origin.layer]
        if needless:
            yield _about(rule, f"delegates to {' and '.join(needless)}, which is not weaker than its own layer")
        for place in rule.places:
            yield from _at(policy, rule, place)


def _at(policy: Policy, rule: Rule, place: Place) -> Iterator[Mistake]:
    if rule.mode_at(place) is Mode.OFF:
        yield _about(rule, f"is off at {place!r}: it is not asked there")
        return
    unknown = _unknown_there(rule.condition, place)
    if unknown:
        yield _about(rule, f"can never match at {place!r}: {unknown} is not known there")
        return
    for other in policy.rules_at(place):
        if _shadows(other, rule, place, policy):
            yield _about(rule, f"never matters at {place!r}: {other.name} ({other.origin}) matches whenever it does")
            return


def _unknown_there(condition: Condition, place: Place) -> str | None:
    """A fact without which the condition cannot hold, and that is never there."""
    for part in conjuncts(condition):
        if isinstance(part, Comparison) and part.operator not in ("ne", "not_in", "exists"):
            kind = fact(part.path)
            if kind is not None and place not in kind.places:
                return part.path
        if isinstance(part, OneOf):
            missing = [_unknown_there(inner, place) for inner in part.parts]
            if all(missing):
                return missing[0]
    return None


def _shadows(other: Rule, rule: Rule, place: Place, policy: Policy) -> bool:
    """True if ``other`` matches whenever ``rule`` does and is at least as strong, so that the outcome is the same."""
    if other is rule or policy.exemptions_from(other):
        return False
    stronger = _ORDER.index(other.action_at(place)) <= _ORDER.index(rule.action_at(place))
    if not stronger or not implies(rule.condition, other.condition):
        return False
    same = implies(other.condition, rule.condition) and other.action_at(place) is rule.action_at(place)
    return not same or policy.rules.index(other) < policy.rules.index(rule)


def _exemption(policy: Policy, exemption: Exemption, today: date) -> Iterator[Mistake]:
    meant = [rule for rule in policy.rules if rule.answers_to(exemption.rule)]
    if not meant:
        known = [name for rule in policy.rules for name in (rule.id, rule.name)]
        yield _about(exemption, f"is about rule {exemption.rule!r}, and there is none: {near(exemption.rule, known)}")
    for rule in meant:
        reason = exemption.why_not(rule, today)
        if reason:
            yield _about(exemption, f"does not hold for {rule.name}: {reason}")
        elif rule.action not in (Action.DENY, Action.SKIP):
            yield _about(exemption, f"changes nothing: {rule.name} refuses nothing")
    impossible = why_impossible(exemption.condition)
    if impossible:
        yield _about(exemption, f"can never hold: {impossible}")


def _words(policy: Policy, points: Sequence[str] | None, families: Sequence[ModelFamily]) -> Iterator[Mistake]:
    things: tuple[Rule | Exemption, ...] = (*policy.rules, *policy.exemptions)
    for thing in things:
        for message in (*unknown_words(thing.condition, families), *unknown_points(thing.condition, families, points)):
            yield _about(thing, message)
