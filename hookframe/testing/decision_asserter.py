"""Saying in a test what a decision should be, and reading what it was when it is not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hookframe.admission.decision import Decision
from hookframe.admission.objection import Objection

__all__ = ["DecisionAsserter"]


class DecisionAsserter:
    """Compares a decision with what a test expects of it.

    A decision is given as itself, as the :class:`~hookframe.errors.HookDenied` that carries it, or as what
    ``pytest.raises`` gives. What is expected is compared with all the objections that count, as sets: for a refusal those
    that refuse, for an admission all.
    """

    __slots__ = ()

    def allowed(
        self,
        decision: Any,
        *,
        by: str | Collection[str] | None = None,
        rules: str | Collection[str] | None = None,
        points: str | Collection[str] | None = None,
    ) -> Decision:
        """Expect an admission; with ``by``, ``rules`` or ``points``, one with exactly these objections.

        :param by: names of the plugins that object.
        :param rules: the rules that they name.
        :param points: the points that the objections are about.
        :raises AssertionError: with the whole decision, if it is another.
        """
        found = _decision_of(decision)
        if not found.allowed:
            raise AssertionError(_text("expected an admission, and it was refused", found))
        _compare(found, found.objections, by, rules, points)
        return found

    def denied(
        self,
        decision: Any,
        *,
        by: str | Collection[str] | None = None,
        rules: str | Collection[str] | None = None,
        points: str | Collection[str] | None = None,
    ) -> Decision:
        """Expect a refusal; with ``by``, ``rules`` or ``points``, one for exactly these reasons.

        :raises AssertionError: with the whole decision, if it is another.
        """
        found = _decision_of(decision)
        if found.allowed:
            raise AssertionError(_text("expected a refusal, and it was admitted", found))
        _compare(found, found.denials, by, rules, points)
        return found


def _decision_of(given: Any) -> Decision:
    for candidate in (
        given,
        getattr(given, "decision", None),
        getattr(getattr(given, "value", None), "decision", None),
    ):
        if isinstance(candidate, Decision):
            return candidate
    raise TypeError(
        f"{given!r} is no decision and carries none: pass a Decision, a HookDenied or what pytest.raises gave"
    )


def _compare(
    decision: Decision,
    objections: Sequence[Objection],
    by: str | Collection[str] | None,
    rules: str | Collection[str] | None,
    points: str | Collection[str] | None,
) -> None:
    found = {
        "by": {objection.source for objection in objections},
        "rules": {objection.rule for objection in objections},
        "points": {name for objection in objections for name in _points_of(objection)},
    }
    wrong = []
    for what, expected in (("by", by), ("rules", rules), ("points", points)):
        if (
            expected is not None
            and (wanted := {expected} if isinstance(expected, str) else set(expected)) != found[what]
        ):
            wrong.append(f"expected {what} {_names(wanted)}, found {_names(found[what])}")
    if wrong:
        raise AssertionError(_text("; ".join(wrong), decision))


def _points_of(objection: Objection) -> tuple[str, ...]:
    request = objection.request
    points = getattr(request, "points", None)  # a cache or a reset has several, a device none
    return points if points is not None else tuple(filter(None, (getattr(request, "point", None),)))


def _names(names: Collection[str]) -> str:
    return ", ".join(map(repr, sorted(names))) or "none"


def _text(head: str, decision: Decision) -> str:
    lines = [f"{head}; the decision:"]
    lines += [f"  {'denied' if not decision.allowed else 'allowed'}, {len(decision.requests)} requests"]
    lines += [f"  - {o.action} by {o.source or 'unknown'}, rule {o.rule!r}: {o}" for o in decision.objections]
    return "\n".join(lines)
