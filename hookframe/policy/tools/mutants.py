"""Mutation of a policy: small changes, each of which a policy's own tests ought to notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from hookframe.admission.objection import Action
from hookframe.policy.files.rules import Exemption, Rule
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.conditions import All, Comparison, Condition, Not
from hookframe.policy.language.facts import RecordedFacts
from hookframe.policy.language.vocabulary import Mode
from hookframe.policy.tools.cases import Case, run_cases

__all__ = ["Mutant", "Uncovered", "mutants", "survivors", "uncovered"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A policy with one change.

    :ivar change: what was changed, as a phrase.
    """

    thing: Rule | Exemption
    change: str
    policy: Policy


def survivors(policy: Policy, cases: Sequence[Case], today: date) -> tuple[int, list[Mutant]]:
    """How many mutants there are, and those that no case notices: each case has the same outcome as under the policy."""
    made = list(mutants(policy))
    own = [outcome.wrong for outcome in run_cases(policy, cases, today)]
    return len(made), [m for m in made if [o.wrong for o in run_cases(m.policy, cases, today)] == own]


def mutants(policy: Policy) -> Iterator[Mutant]:
    """Every small change to a rule or an exception: left out, weaker, narrower, wider, turned round."""
    for index, rule in enumerate(policy.rules):
        for change, changed in _rules(rule):
            rules = (*policy.rules[:index], *((changed,) if changed else ()), *policy.rules[index + 1 :])
            yield Mutant(rule, change, replace(policy, rules=rules))
    for index, exemption in enumerate(policy.exemptions):
        others = (policy.exemptions[:index], policy.exemptions[index + 1 :])
        yield Mutant(exemption, "is left out", replace(policy, exemptions=(*others[0], *others[1])))
        for change, condition in _changed_all(exemption.condition):
            wider = replace(exemption, condition=condition)
            yield Mutant(exemption, change, replace(policy, exemptions=(*others[0], wider, *others[1])))


def _rules(rule: Rule) -> Iterator[tuple[str, Rule | None]]:
    yield "is left out", None
    recording = replace(rule, action=Action.AUDIT)
    if any(rule.action_at(place) is not recording.action_at(place) for place in rule.places):
        yield "only records (action audit)", recording
    for place, mode in rule.modes:
        if mode is not Mode.OFF:
            modes = tuple((where, Mode.OFF if where == place else own) for where, own in rule.modes)
            yield f"is off at {place!r}", replace(rule, modes=modes)
    for change, condition in _changed_all(rule.condition):
        yield change, replace(rule, condition=condition)


def _changed_all(condition: All) -> Iterator[tuple[str, All]]:
    for change, changed in _changed(condition):
        yield change, changed if isinstance(changed, All) else All((changed,))


def _changed(condition: Condition) -> Iterator[tuple[str, Condition]]:
    if isinstance(condition, Comparison):
        yield from _changed_comparison(condition)
    elif isinstance(condition, Not):
        yield f"asks for what it excludes: {condition.part}", condition.part
        for change, inner in _changed(condition.part):
            yield change, Not(inner)
    else:
        for index, part in enumerate(condition.parts):
            before, after = condition.parts[:index], condition.parts[index + 1 :]
            kind = type(condition)
            if isinstance(condition, All) or len(condition.parts) > 1:
                yield f"asks no more for: {part}", kind((*before, *after))
            for change, inner in _changed(part):
                yield change, kind((*before, inner, *after))


_SWAPPED = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt"}


def _changed_comparison(comparison: Comparison) -> Iterator[tuple[str, Condition]]:
    yield f"asks for the opposite of: {comparison}", Not(comparison)
    if comparison.operator in _SWAPPED:
        swapped = replace(comparison, operator=_SWAPPED[comparison.operator])
        yield f"asks for {swapped} instead of {comparison}", swapped
    if isinstance(comparison.value, tuple) and len(comparison.value) > 1:
        for value in comparison.value:
            fewer = tuple(other for other in comparison.value if other != value)
            yield f"knows no more of {value!r} in {comparison.path}", replace(comparison, value=fewer)


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A condition that the cases never saw hold, or never saw fail.

    :ivar missing: ``"true"`` or ``"false"``.
    """

    thing: Rule | Exemption
    condition: Comparison
    missing: str


def uncovered(policy: Policy, cases: Sequence[Case]) -> tuple[int, list[Uncovered]]:
    """How many sides the comparisons of a policy have, and those that no case saw."""
    sides, missing = 0, []
    for thing, comparison, places in _comparisons(policy):
        seen = {comparison.holds(RecordedFacts(case.facts)) for case in cases if case.place in places}
        sides += 2
        missing += [Uncovered(thing, comparison, str(side).lower()) for side in (True, False) if side not in seen]
    return sides, missing


def _comparisons(policy: Policy) -> Iterator[tuple[Rule | Exemption, Comparison, Sequence[str]]]:
    for rule in policy.rules:
        for comparison in _leaves(rule.condition):
            yield rule, comparison, rule.places
    for exemption in policy.exemptions:
        places = [place for rule in policy.rules if rule.answers_to(exemption.rule) for place in rule.places]
        for comparison in _leaves(exemption.condition):
            yield exemption, comparison, places


def _leaves(condition: Condition) -> Iterator[Comparison]:
    if isinstance(condition, Comparison):
        yield condition
    else:
        for part in (condition.part,) if isinstance(condition, Not) else condition.parts:
            yield from _leaves(part)
