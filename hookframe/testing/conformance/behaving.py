"""How an installed plugin behaves: what the child processes found, compared with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hookframe.admission.wire import request_to_json
from hookframe.hookspecs import PREFIX
from hookframe.testing.conformance.asking import Answer, same
from hookframe.testing.conformance.card import CheckResult, Verdict
from hookframe.testing.conformance.child import ChildReport, run_child
from hookframe.testing.conformance.samples import Batch, ordinary

__all__ = ["Behaved", "behaviour_of"]


@dataclass(frozen=True, slots=True)
class Behaved:
    """What was found: results, and the times of calls by spec."""

    results: tuple[CheckResult, ...]
    microseconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to ask the same again."""

    flags: tuple[str, ...] = ()
    hash_seed: str = "0"
    backwards: bool = False
    isolated: bool = False


_REPEATS = ("ordinary-requests", "same-answer-twice")
_WAYS = {
    "same-answer-in-any-order": _Way(backwards=True),
    "child-process": _Way(hash_seed="1", isolated=True),
    "optimized-python": _Way(("-O",)),
    "warnings-as-errors": _Way(("-W", "error")),
}


def behaviour_of(target: str, timeout: float) -> Behaved:
    """Call ``target`` in child processes; ``timeout`` seconds for each."""
    probe = run_child("behaviour_probe", [target], timeout=timeout)
    results = [CheckResult(**{**r, "verdict": Verdict(r["verdict"])}) for r in probe.last("results") or ()]
    if probe.ending is not None:
        stuck = str(probe.last("starting") or "registers")
        results = [result for result in results if result.name != stuck]
        results.append(CheckResult(name=stuck, verdict=Verdict.FAIL, reason=probe.ending))
    elif not any(r.verdict is Verdict.FAIL and r.name in _REPEATS for r in results):
        results += _replays(target, probe, timeout)
    return Behaved(tuple(results), probe.last("microseconds") or {})


def _replays(target: str, probe: ChildReport, timeout: float) -> list[CheckResult]:
    reference, observed = probe.last("reference"), probe.last("observed")
    specs = set(probe.last("validators") or ())
    batches = [batch for batch in ordinary() if batch[0] in specs]
    pure = specs - set(probe.last("for_model") or ())
    if not batches and not observed:
        return []
    results: list[CheckResult] = []
    with ThreadPoolExecutor(len(_WAYS)) as pool:
        asked: dict[str, tuple[list[Batch], list[Answer], Future[ChildReport]]] = {}
        for name, way in _WAYS.items():
            pairs = [(b, a) for b, a in zip(batches, reference, strict=True) if not way.isolated or b[0] in pure]
            if not pairs and name in ("same-answer-in-any-order", "child-process"):
                results.append(_not_applicable(name, bool(batches)))
                continue
            pairs = pairs[::-1] if way.backwards else pairs
            chosen, answers = [batch for batch, _ in pairs], [answer for _, answer in pairs]
            future = pool.submit(
                run_child,
                "replay",
                [target],
                timeout=timeout,
                question=[(spec, [request_to_json(request) for request in requests]) for spec, requests in chosen],
                flags=way.flags,
                hash_seed=way.hash_seed,
            )
            asked[name] = chosen, answers, future
        for name, (chosen, answers, future) in asked.items():
            results.append(_compared(name, chosen, answers, future.result(), observed))
    return results


def _not_applicable(name: str, has_validators: bool) -> CheckResult:
    reason = (
        "its validators ask for the model, which cannot leave the process" if has_validators else "it has no validator"
    )
    return CheckResult(name=name, verdict=Verdict.NOT_APPLICABLE, reason=reason)


def _compared(
    name: str,
    batches: Sequence[Batch],
    reference: Sequence[Answer],
    replay: ChildReport,
    observed: Mapping[str, Any],
) -> CheckResult:
    answers = replay.last("answers")
    if answers is None:
        return CheckResult(name=name, verdict=Verdict.FAIL, reason=replay.ending or "its process ended early")
    for batch, expected, answer in zip(batches, reference, answers, strict=True):
        if not same(expected, answer):
            reason = f"{PREFIX}{batch[0]} about {batch[1][0].subject}: {_brief(expected)}, and there {_brief(answer)}"
            return CheckResult(name=name, verdict=Verdict.FAIL, reason=reason)
    told = replay.last("observed")
    for spec, wrong in told.items():
        if wrong is not None and not observed.get(spec):
            return CheckResult(name=name, verdict=Verdict.FAIL, reason=f"observer {spec} {wrong}")
    reason = f"{len(answers)} batches and {len(told)} observers" if told else f"{len(answers)} batches"
    return CheckResult(name=name, verdict=Verdict.PASS, reason=reason)


def _brief(answer: Answer) -> str:
    if "raised" in answer:
        return f"raised {answer['raised']}: {answer['text']}"
    return f"{len(answer.get('objections', ()))} objections"
