"""The policy as a plugin: an implementation of each validator that it has rules for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from hookframe.admission.family import ModelFamily
from hookframe.admission.objection import Objection
from hookframe.admission.request import LazyRequests, Request
from hookframe.hookspecs import PREFIX, hookimpl
from hookframe.policy.decide import Match, decide
from hookframe.policy.ending import ExemptedHooks
from hookframe.policy.facts import ModelFacts, RequestFacts
from hookframe.policy.policy import Policy
from hookframe.policy.refusals import Refusal
from hookframe.policy.vocabulary import PLACES, Place

__all__ = ["PolicyEngine", "objection_for"]

_SPECS: dict[Place, str] = {
    "add": "check_hooks_to_add",
    "cache": "check_cache",
    "device": "check_device",
    "reset": "check_reset",
    "run": "check_run",
}


def today() -> date:
    """The day that it is, UTC."""
    return datetime.now(UTC).date()


class PolicyEngine:
    """Asks a policy on behalf of the plugin host. It implements the validators that the policy has rules for, no others.

    :param policy: what is in force.
    :param families: gives the model families that plugins know.
    :param refusals: reasons to refuse everything.
    :param clock: gives this day.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        families: Callable[[], Iterable[ModelFamily]] = tuple,
        refusals: Sequence[Refusal] = (),
        clock: Callable[[], date] = today,
    ) -> None:
        self.policy = policy
        self.refusals = tuple(refusals)
        self._families = families
        self._clock = clock
        self._exempted = ExemptedHooks()
        for place in PLACES:
            if policy.rules_at(place) or refusals:
                spec = PREFIX + _SPECS[place]
                setattr(self, spec, hookimpl(self._batch_validator() if place == "add" else self._validator(place)))

    def _batch_validator(self) -> Callable[..., list[Objection]]:
        def check(requests: Sequence[Request], model: Any) -> list[Objection]:
            return self.check_batch(requests, model)

        return check

    def _validator(self, place: Place) -> Callable[..., list[Objection]]:
        def check(request: Request, model: Any) -> list[Objection]:
            return self._refused(request) or self._decided(place, request, self._facts(model), self._clock())

        return check

    def _facts(self, model: Any) -> ModelFacts:
        return ModelFacts(model, self._families(), self.policy.environment)

    def check_batch(self, requests: Sequence[Request], model: Any) -> list[Objection]:
        """Objections to a batch of hooks; those to a batch that was decided before, as long as nothing else has changed."""
        day = self._clock()
        self._exempted.end(model, day)
        if self.refusals:
            return self._refused(requests[0])
        about = self._facts(model)
        paths = [path for path in self.policy.paths_at("add") if not path.startswith("request.")]
        depends = (day if self.policy.exemptions else None, tuple(map(about.get, paths)))
        memo = requests.memo if isinstance(requests, LazyRequests) else {}
        kept = memo.get(self)
        if kept is None or kept[0] != depends:
            found = [objection for r in requests for objection in self._decided("add", r, about, day, model)]
            kept = memo[self] = (depends, found)
        return list(kept[1])

    def _refused(self, request: Request) -> list[Objection]:
        return [refusal.objection(request) for refusal in self.refusals]

    def _decided(
        self, place: Place, request: Request, about: ModelFacts, day: date, model: Any = None
    ) -> list[Objection]:
        ruling = decide(self.policy, place, RequestFacts(request, about), day)
        for match in ruling.matches:
            if match.exemption is not None:
                self._exempted.remember(model, request, match.exemption)
        return [objection_for(match, request) for match in ruling.matches]


def objection_for(match: Match, request: Request) -> Objection:
    """What a rule that matches says about ``request``."""
    rule, exemption = match.rule, match.exemption
    message, remedy = rule.reason, rule.remedy
    if exemption is not None:
        message = f"{message}; let through until {exemption.until} by exception {exemption.name} of {exemption.owner}"
        remedy = f"{remedy}, before the exception ends"
    objection = Objection(
        request=request, rule=rule.name, message=message, remedy=remedy, action=match.action, origin=str(rule.origin)
    )
    return objection if exemption is None else replace(objection, exception=exemption.name)
