"""The policy as a plugin: an implementation of each validator that it has rules for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, get_args

from hookframe.admission.decision import Decision
from hookframe.admission.family import ModelFamily
from hookframe.admission.listing import listed
from hookframe.admission.objection import Objection
from hookframe.admission.request import HookRequest, LazyRequests, Request
from hookframe.hookspecs import PREFIX, hookimpl
from hookframe.host.running.manager import is_considering
from hookframe.policy.in_force.decide import Match, decide
from hookframe.policy.in_force.ending import ExemptedHooks
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.in_force.refusals import Refusal
from hookframe.policy.in_force.remembering import Depends, Rulings
from hookframe.policy.language.facts import ModelFacts, RequestFacts, place_of
from hookframe.policy.language.vocabulary import PLACES, Place, Value

__all__ = ["PolicyEngine", "objection_for"]

_SPECS: dict[Place, str] = {place_of(kind): kind.spec for kind in get_args(Request)}
_FACTS = "facts"  # where a journal looks for them in a batch's memo


class _Last(threading.local):
    """The last request of this thread that was not a batch, with its facts."""

    request: Request | None = None
    facts: Mapping[str, Value] | None = None


def today() -> date:
    """The day that it is, UTC."""
    return datetime.now(UTC).date()


class PolicyEngine:
    """Asks a policy on behalf of the plugin host. It implements the validators that the policy has rules for, no others.

    :param policy: what is in force.
    :param families: gives the model families that plugins know.
    :param refusals: reasons to refuse everything.
    :param clock: gives this day.
    :param recorded: True to keep the facts of each decision for a journal, which has to have those of every place.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        families: Callable[[], Iterable[ModelFamily]] = tuple,
        refusals: Sequence[Refusal] = (),
        clock: Callable[[], date] = today,
        recorded: bool = False,
    ) -> None:
        self.policy = policy
        self.refusals = tuple(refusals)
        self._families = families
        self._clock = clock
        self._recorded = recorded
        self._exempted = ExemptedHooks()
        self._rulings = Rulings()
        self._last = _Last()
        for place in PLACES:
            if recorded or policy.rules_at(place) or refusals:
                spec = PREFIX + _SPECS[place]
                setattr(self, spec, hookimpl(self._batch_validator() if place == "add" else self._validator(place)))

    def asks(self, policy: Policy, refusals: Sequence[Refusal]) -> bool:
        """True if every layer of ``policy`` is asked here, and all of ``refusals`` are among those here."""
        own = {(layer.kind, layer.digest) for layer in self.policy.layers}
        return {(layer.kind, layer.digest) for layer in policy.layers} <= own and set(refusals) <= set(self.refusals)

    def _batch_validator(self) -> Callable[..., list[Objection]]:
        def check(requests: Sequence[HookRequest], model: Any) -> list[Objection]:
            return self.check_batch(requests, model)

        return check

    def _validator(self, place: Place) -> Callable[..., list[Objection]]:
        def check(request: Request, model: Any) -> list[Objection]:
            self._exempted.end(model, self._clock())
            about = self._facts(model)
            if self._recorded:
                self._last.request, self._last.facts = request, about.recorded(self.policy.paths_at(place))
            return self._refused(request) or self._decided(place, request, about, self._clock())

        return check

    def facts_of(self, decision: Decision) -> Mapping[str, Value] | None:
        """The facts that the decision just made in this thread looked at, for a journal; None if they are not known."""
        requests = decision.requests
        if isinstance(requests, LazyRequests):
            facts: Mapping[str, Value] | None = requests.memo.get(_FACTS)
            return facts
        known = len(requests) == 1 and requests[0] is self._last.request
        return self._last.facts if known else None

    def _facts(self, model: Any) -> ModelFacts:
        return ModelFacts(model, self._families(), self.policy.environment)

    def check_batch(self, requests: Sequence[HookRequest], model: Any) -> list[Objection]:
        """Objections to a batch of hooks; those to a batch that was decided before, as long as nothing else has changed."""
        day = self._clock() if self.policy.exemptions else None
        if day is not None and not is_considering():
            self._exempted.end(model, day)
        about = self._facts(model)
        if self._recorded and isinstance(requests, LazyRequests):
            requests.memo[_FACTS] = about.recorded(self.policy.paths_at("add"))
        if self.refusals:
            return self._refused(requests[0])
        paths = [path for path in self.policy.paths_at("add") if not path.startswith("request.")]
        values = tuple((type(value), value) for value in map(about.get, paths))  # 1 equals True, and decides otherwise
        depends: Depends = (day, values)
        memo = requests.memo if isinstance(requests, LazyRequests) else {}
        kept = memo.get(self)
        if kept is None or kept[0] != depends:
            kept = memo[self] = (depends, self._objections(requests, about, day, depends, model))
        return list(kept[1])

    def _objections(
        self, requests: Sequence[HookRequest], about: ModelFacts, day: date | None, depends: Depends, model: Any
    ) -> list[Objection]:
        today = day or self._clock()

        def decided(request: HookRequest) -> tuple[Match, ...]:
            return decide(self.policy, "add", RequestFacts(request, about), today).matches

        known, found = self._rulings.world(depends), []
        for request, matches in self._rulings.matches(known, requests, decided):
            for match in matches:
                if match.exemption is not None and not is_considering():
                    self._exempted.remember(model, request, match.exemption, removes=match.rule.removes)
                found.append(objection_for(match, request))
        return found

    def _refused(self, request: Request) -> list[Objection]:
        return [refusal.objection(request) for refusal in self.refusals]

    def _decided(self, place: Place, request: Request, about: ModelFacts, day: date) -> list[Objection]:
        ruling = decide(self.policy, place, RequestFacts(request, about), day)
        return [objection_for(match, request) for match in ruling.matches]


_MAKE_KNOWN = "instrument the whole model, and install and load the plugin that knows its family"


def _told(paths: Sequence[str]) -> str:
    return f"{listed(paths)} {'is' if len(paths) == 1 else 'are'}"


def objection_for(match: Match, request: Request) -> Objection:
    """What a rule that matches says about ``request``."""
    rule, exemption = match.rule, match.exemption
    message, remedy = rule.reason, rule.remedy
    if match.unknown:
        message = f"it cannot be told whether this rule holds here, since {_told(match.unknown)} not known: {message}"
        remedy = f"{_MAKE_KNOWN}; or {remedy}"
    if exemption is not None:
        message = f"{message}; let through until {exemption.until} by exception {exemption.name} of {exemption.owner}"
        remedy = f"{remedy}, before the exception ends"
    objection = Objection(
        request=request, rule=rule.name, message=message, remedy=remedy, action=match.action, origin=str(rule.origin)
    )
    return objection if exemption is None else replace(objection, exception=exemption.name)
