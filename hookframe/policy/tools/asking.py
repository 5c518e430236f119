"""What may be hooked, point by point: the question of ``hookframe can``, asked without attaching anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from hookframe.admission.objection import Objection
from hookframe.admission.request import HookRequest
from hookframe.host.running.manager import PluginManager
from hookframe.policy.in_force.decide import VERDICTS, decide
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.language.facts import RecordedFacts
from hookframe.policy.language.vocabulary import Value

__all__ = ["Answer", "ask_facts", "ask_model"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether one point may be hooked.

    :ivar verdict: deny, skip, warn, audit or allow.
    :ivar reasons: pairs of who says so and why, the strongest first.
    """

    point: str
    verdict: str
    reasons: tuple[tuple[str, str], ...] = ()


def ask_facts(policy: Policy, points: Sequence[str], facts: Mapping[str, Value], today: date) -> list[Answer]:
    """What the policy says of hooks at these points, with these facts besides."""
    answers = []
    for point in points:
        ruling = decide(policy, "add", RecordedFacts({**facts, "request.point": (point,)}), today)
        reasons = tuple((f"{m.rule.name} ({m.rule.origin})", m.rule.reason) for m in ruling.matches)
        answers.append(Answer(point, ruling.verdict, reasons))
    return answers


def ask_model(manager: PluginManager, model: Any, requests: Sequence[HookRequest]) -> list[Answer]:
    """What the model's own check, the plugins and the policy say of each of these hooks.

    :param requests: as :func:`~hookframe.inspecting.planned.planned_requests` makes them.
    """
    said: dict[int, list[tuple[str, str, str]]] = {index: [] for index in range(len(requests))}
    for objection in manager.consider(requests, model).objections:
        said[objection.request.index].append(_reason(objection))
    for index, reason in _own_check(model, requests):
        said[index].append(reason)
    return [_answer(request.point or "?", said[request.index]) for request in requests]


def _reason(objection: Objection) -> tuple[str, str, str]:
    return str(objection.action), objection.by, objection.message


def _own_check(model: Any, requests: Sequence[HookRequest]) -> Iterator[tuple[int, tuple[str, str, str]]]:
    check: Callable[..., None] = model.check_hooks_to_add
    for request in requests:
        point = model.hook_dict[request.point]
        options = {"dir": request.direction, "is_permanent": request.permanent, "prepend": request.prepend}
        try:
            check(point, request.point, _nothing, **options)
        except Exception as error:  # noqa: BLE001  # any error of a model's own check is its refusal
            yield (
                request.index,
                ("deny", f"{type(model).__name__}.check_hooks_to_add", f"{type(error).__name__}: {error}"),
            )


def _nothing(tensor: Any, *, hook: Any) -> None:
    """Stands for a function that is not there yet."""


def _answer(point: str, said: Sequence[tuple[str, str, str]]) -> Answer:
    ordered = sorted(said, key=lambda reason: VERDICTS.index(reason[0]))
    verdict = ordered[0][0] if ordered else "allow"
    return Answer(point, verdict, tuple((by, why) for _, by, why in ordered))
