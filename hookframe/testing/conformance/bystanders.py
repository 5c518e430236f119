"""The checks of observers and providers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hookframe.admission.request import HookRequest
from hookframe.hookspecs import OBSERVERS
from hookframe.testing.conformance import samples
from hookframe.testing.conformance.card import CheckResult, Verdict
from hookframe.testing.conformance.implementations import Impl

__all__ = ["observer_results", "provider_result", "tell"]


def tell(impls: Iterable[Impl]) -> dict[str, str | None]:
    """Tell each observer of everything: spec → what it did wrong with the first such call, None if nothing."""
    observers = {impl.spec: impl for impl in impls if impl.spec in OBSERVERS}
    wrong: dict[str, str | None] = dict.fromkeys(observers)
    for spec, facts in samples.told():
        if spec in observers and wrong[spec] is None:
            wrong[spec] = _tell(observers[spec], facts)
    return wrong


def _tell(impl: Impl, facts: dict[str, Any]) -> str | None:
    try:
        answer = impl.call(**facts)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it is, it is the answer
        return f"raised {type(error).__name__}"
    return None if answer is None else f"returned a {type(answer).__name__}"


def observer_results(impls: Iterable[Impl]) -> tuple[list[CheckResult], dict[str, str | None]]:
    """The checks of observers, and what :func:`tell` found; no checks if there are none."""
    wrong = tell(impls)
    if not wrong:
        return [], wrong
    return [
        _result("observers-do-not-raise", _saying(wrong, "raised"), f"{len(wrong)} observers took every event"),
        _result("observers-return-none", _saying(wrong, "returned"), f"{len(wrong)} observers returned None"),
    ], wrong


def _saying(wrong: dict[str, str | None], verb: str) -> list[str]:
    return [f"{spec} {text}" for spec, text in wrong.items() if text is not None and text.startswith(verb)]


def provider_result(impls: Iterable[Impl]) -> list[CheckResult]:
    """The check of providers; none if there are none."""
    found = [(impl, _PROVIDERS[impl.spec]) for impl in impls if impl.spec in _PROVIDERS]
    if not found:
        return []
    wrong = []
    for impl, attempt in found:
        try:
            complaint = attempt(impl)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # as above
            complaint = f"raised {type(error).__name__}: {error}"
        wrong += [f"{impl.spec} {complaint}"] if complaint else []
    return [_result("providers-answer", wrong, f"{', '.join(impl.spec for impl, _ in found)} answered")]


def _result(name: str, wrong: list[str], good: str) -> CheckResult:
    verdict = Verdict.FAIL if wrong else Verdict.PASS
    return CheckResult(name=name, verdict=verdict, reason="; ".join(wrong) or good)


def _wrap(impl: Impl) -> str | None:
    def look(tensor: Any, hook: Any) -> None:
        """A hook function to wrap."""

    for _, requests in samples.ordinary():
        for request in requests:
            if isinstance(request, HookRequest):
                wrapped = impl.call(request=request, hook=look)
                if wrapped is not None and not callable(wrapped):
                    return f"returned a {type(wrapped).__name__}, which cannot be called"
    return None


def _families(impl: Impl) -> str | None:
    families = impl.call()
    if families is None or (isinstance(families, Iterable) and not isinstance(families, (str, bytes))):
        return None
    return f"returned a {type(families).__name__}, not families"


def _commands(impl: Impl) -> str | None:
    import click

    registry = click.Group("plugins")
    impl.call(registry=registry)
    odd = [name for name, command in registry.commands.items() if not isinstance(command, click.Command)]
    return f"added {odd[0]!r}, which is no click command" if odd else None


_PROVIDERS: dict[str, Callable[[Impl], str | None]] = {
    "wrap_hook": _wrap,
    "model_families": _families,
    "add_commands": _commands,
}
