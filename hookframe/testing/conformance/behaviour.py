"""How a plugin behaves once it is loaded: the checks that call it."""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hookframe.admission.wire import request_to_json
from hookframe.host.running.using import use_plugins
from hookframe.testing.conformance import samples
from hookframe.testing.conformance.asking import Answer, Asker, same
from hookframe.testing.conformance.bystanders import observer_results, provider_result
from hookframe.testing.conformance.card import CheckResult, Verdict
from hookframe.testing.conformance.implementations import Impl, declaration_results, impls_of
from hookframe.testing.conformance.model_state import state_of

__all__ = ["Behaviour"]

_ROUNDS = 4
_THREADS = 4
_SLOW = 10_000.0  # microseconds for one request
_MONITORED = {
    "answers-are-objections": "every answer was None or objections",
    "objections-about-the-batch": "every objection was about a request of its batch",
    "objections-helpful": "every objection had a rule in kebab-case, and a remedy of its own",
    "requests-unchanged": "every request was the same afterwards",
}


class Behaviour:
    """Checks one plugin, in this process.

    :param plugin: a module, an object, or a class.
    :param starting: called with a check's name before it is tried, so that somebody knows where a plugin hung.
    :ivar results: those of the checks that were tried.
    :ivar reference: the first answers to the ordinary requests, without a model.
    :ivar impls: the implementations, once they are registered.
    :ivar observed: what was wrong with the observers, by spec.
    :ivar microseconds: how long one call took, by spec.
    """

    def __init__(self, plugin: object, starting: Callable[[str], None] = lambda name: None) -> None:
        self.plugin = plugin
        self.results: list[CheckResult] = []
        self.reference: list[Answer] = []
        self.impls: tuple[Impl, ...] = ()
        self.observed: dict[str, Any] = {}
        self.microseconds: dict[str, float] = {}
        self._starting = starting
        self._model: Any = None

    def run(self) -> None:
        """Try everything; what a plugin raises is a result, ``KeyboardInterrupt`` alone is not."""
        self._starting("implementations-marked")
        self.results += declaration_results(self.plugin)
        with warnings.catch_warnings(), use_plugins() as manager:
            warnings.simplefilter("ignore")  # one check is about warnings, in a process of its own
            self._starting("registers")
            try:
                plugin = self.plugin() if isinstance(self.plugin, type) else self.plugin
                specs = manager.register(plugin).specs
            except (Exception, SystemExit) as error:  # noqa: BLE001  # a class may raise anything
                self._fail("registers", f"{type(error).__name__}: {error}")
                return
            self._pass("registers", f"as {', '.join(specs)}" if specs else "it does nothing")
            self.impls = impls = impls_of(plugin)
            manager.unregister(manager.records[0].name)  # from here on it is called by hand
            asker = Asker(impls)
            if asker.impls:
                self._validators(asker)
            self._starting("observers-do-not-raise")
            results, self.observed = observer_results(impls)
            self.results += results
            self._starting("providers-answer")
            self.results += provider_result(impls)

    def _validators(self, asker: Asker) -> None:
        known = [batch for batch in samples.ordinary() if asker.knows(batch)]
        self._starting("ordinary-requests")
        self.reference = [asker.ask(batch) for batch in known]
        if any(impl.asks_for_model for impl in asker.impls.values()):
            from hookframe.testing.tiny_model import TinyModel

            self._model = TinyModel()
        state = None if self._model is None else state_of(self._model)
        answers = [asker.ask(batch, self._model) for batch in known]
        self._none_raised("ordinary-requests", known, answers, "all were answered")
        self._starting("same-answer-twice")
        self._repeated(asker, known, answers)
        self._starting("unknown-facts")
        unknown = [batch for batch in samples.unknown() if asker.knows(batch)]
        self._none_raised("unknown-facts", unknown, [asker.ask(b, self._model) for b in unknown], "nothing was raised")
        self._without_a_model(asker, known)
        self._starting("generated-requests")
        self._generated(asker)
        self._starting("threads")
        self._threads(asker, known, answers)
        self._starting("time-per-call")
        self._timed(asker, known)
        for name, good in _MONITORED.items():
            self._verdict(name, asker.wrong.get(name), good)
        if state is None:
            self._not_applicable("model-unchanged", "no validator asks for the model")
        else:
            changed = [key for key, value in state_of(self._model).items() if value != state.get(key)]
            self._verdict("model-unchanged", f"it changed {', '.join(changed)}" if changed else None, "it was the same")

    def _none_raised(self, name: str, batches: list[samples.Batch], answers: list[Answer], good: str) -> None:
        bad = next((_complaint(b, a) for b, a in zip(batches, answers, strict=True) if "raised" in a), None)
        self._verdict(name, bad, good)

    def _repeated(self, asker: Asker, known: list[samples.Batch], answers: list[Answer]) -> None:
        for batch, answer in zip(known, answers, strict=True):
            for _ in range(_ROUNDS):
                again = asker.ask(batch, self._model)
                if not same(answer, again):
                    self._fail("same-answer-twice", f"{_subject(batch)}: {_difference(answer, again)}")
                    return
        self._pass("same-answer-twice", f"{len(known)} batches, {_ROUNDS + 1} times")

    def _without_a_model(self, asker: Asker, known: list[samples.Batch]) -> None:
        asked = [
            (batch, answer)
            for batch, answer in zip(known, self.reference, strict=True)
            if batch[0] in ("check_hooks_to_add", "check_reset") and asker.impls[batch[0]].asks_for_model
        ]
        if not asked:
            self._not_applicable("model-may-be-none", "no validator of hooks or resets asks for the model")
        else:
            self._none_raised(
                "model-may-be-none", [b for b, _ in asked], [a for _, a in asked], "model=None was answered"
            )

    def _generated(self, asker: Asker) -> None:
        if importlib.util.find_spec("hypothesis") is None:
            self._not_applicable("generated-requests", "Hypothesis is not installed: pip install 'hookframe[testing]'")
            return
        from hookframe.testing.conformance.generating import EXAMPLES, first_raising

        found = first_raising(asker, self._model)
        bad = None if found is None else f"{_complaint(*found)}; the smallest such: {_shown(found[0])}"
        self._verdict("generated-requests", bad, f"{EXAMPLES} for each of {', '.join(sorted(asker.impls))}")

    def _threads(self, asker: Asker, known: list[samples.Batch], answers: list[Answer]) -> None:
        differences: list[str] = []

        def work() -> None:
            for batch, answer in zip(known, answers, strict=True):
                if not same(answer, again := asker.ask(batch, self._model)):
                    differences.append(f"{_subject(batch)}: {_difference(answer, again)}")

        threads = [threading.Thread(target=work, daemon=True) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        if any(thread.is_alive() for thread in threads):
            differences.append("a thread did not come to an end within 30 s")
        self._verdict("threads", differences[0] if differences else None, f"{_THREADS} threads agree")

    def _timed(self, asker: Asker, known: list[samples.Batch]) -> None:
        for spec in asker.impls:
            batch = next(batch for batch in known if batch[0] == spec)
            self.microseconds[spec] = statistics.median(_times(asker, batch, self._model))
        told = ", ".join(f"{spec} {taken:.0f} µs" for spec, taken in self.microseconds.items())
        slow = tuple(
            f"{spec} takes {taken / 1000:.0f} ms: every operation waits for it"
            for spec, taken in self.microseconds.items()
            if taken > _SLOW
        )
        self.results.append(CheckResult(name="time-per-call", verdict=Verdict.PASS, reason=told, warnings=slow))

    def _verdict(self, name: str, bad: str | None, good: str) -> None:
        if bad is None:
            self._pass(name, good)
        else:
            self._fail(name, bad)

    def _pass(self, name: str, reason: str) -> None:
        self.results.append(CheckResult(name=name, verdict=Verdict.PASS, reason=reason))

    def _fail(self, name: str, reason: str) -> None:
        self.results.append(CheckResult(name=name, verdict=Verdict.FAIL, reason=reason))

    def _not_applicable(self, name: str, reason: str) -> None:
        self.results.append(CheckResult(name=name, verdict=Verdict.NOT_APPLICABLE, reason=reason))


def _times(asker: Asker, batch: samples.Batch, model: Any, limit: float = 0.05) -> Iterator[float]:
    """Microseconds of single calls, for ``limit`` seconds; at least three."""
    impl, requests = asker.impls[batch[0]], batch[1]
    end = time.perf_counter() + limit
    count = 0
    while count < 3 or (count < 200 and time.perf_counter() < end):
        start = time.perf_counter()
        with contextlib.suppress(Exception, SystemExit):  # other checks are about that
            list(impl.call(requests=requests, request=requests[0], model=model) or ())
        yield (time.perf_counter() - start) * 1e6
        count += 1


def _subject(batch: samples.Batch) -> str:
    spec, requests = batch
    return f"{spec} about {requests[0].subject}" + (f" and {len(requests) - 1} more" if len(requests) > 1 else "")


def _complaint(batch: samples.Batch, answer: Answer) -> str:
    return f"{_subject(batch)} raised {answer['raised']}: {answer['text']}"


def _difference(answer: Answer, other: Answer) -> str:
    return f"{_brief(answer)}, then {_brief(other)}"


def _brief(answer: Answer) -> str:
    if "raised" in answer:
        return f"raised {answer['raised']}"
    if "junk" in answer:
        return f"returned {answer['junk']}"
    rules = sorted(str(objection["rule"]) for objection in answer["objections"])
    return f"{len(rules)} objections ({', '.join(rules[:3])})" if rules else "no objection"


def _shown(batch: samples.Batch) -> str:
    return str([request_to_json(request) for request in batch[1]])[:400]
