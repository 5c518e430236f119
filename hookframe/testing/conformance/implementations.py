"""The implementations of a plugin, found without registering it, and what is wrong with how they are declared."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hookframe import hookspecs
from hookframe.hookspecs import PREFIX
from hookframe.testing.conformance.card import CheckResult, Verdict

__all__ = ["Impl", "declaration_results", "impls_of"]

_SPECS = {name: value for name, value in vars(hookspecs).items() if name.startswith(PREFIX)}


@dataclass(frozen=True, slots=True)
class Impl:
    """One implementation.

    :ivar spec: the spec's name, without the prefix.
    :ivar arguments: the arguments that it takes.
    """

    spec: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]

    @property
    def asks_for_model(self) -> bool:
        """True if it needs a model to answer."""
        return "model" in self.arguments

    def call(self, **facts: Any) -> Any:
        """Call it with those of the facts that it takes."""
        return self.function(**{name: facts[name] for name in self.arguments})


def impls_of(plugin: object) -> tuple[Impl, ...]:
    """The implementations of known specs, sorted."""
    found = [(spec, getattr(plugin, attribute)) for attribute, spec, _ in _marked(plugin)]
    impls = [
        Impl(spec.removeprefix(PREFIX), function, _arguments(function)) for spec, function in found if spec in _SPECS
    ]
    return tuple(sorted(impls, key=lambda impl: impl.spec))


def declaration_results(plugin: object) -> list[CheckResult]:
    """The checks of how the implementations are declared."""
    marked = list(_marked(plugin))
    specs = ", ".join(sorted({spec.removeprefix(PREFIX) for _, spec, _ in marked}))
    complaints = {
        "implementations-marked": list(_unmarked(plugin)) if marked else ["it implements nothing", *_unmarked(plugin)],
        "known-specs": [_unknown(spec) for _, spec, _ in marked if spec not in _SPECS],
        "known-arguments": [
            f"{spec} has no argument {argument!r}: it has {[*_parameters(_SPECS[spec])]}"
            for attribute, spec, _ in marked
            if spec in _SPECS
            for argument in _parameters(getattr(plugin, attribute))
            if argument not in _parameters(_SPECS[spec])
        ],
        "no-wrappers": [
            f"{spec} is a wrapper: write a plain function"
            for _, spec, options in marked
            if options.get("wrapper") or options.get("hookwrapper")
        ],
    }
    return [
        CheckResult(
            name=name,
            verdict=Verdict.FAIL if wrong else Verdict.PASS,
            reason="; ".join(wrong) or f"implements {specs}",
        )
        for name, wrong in complaints.items()
    ]


def _marked(plugin: object) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for attribute, function in _functions(plugin):
        options = getattr(function, "hookframe_impl", None)
        if isinstance(options, dict):
            yield attribute, str(options.get("specname") or attribute), options


def _functions(plugin: object) -> Iterator[tuple[str, Any]]:
    for attribute in dir(plugin):
        value = inspect.getattr_static(plugin, attribute, None)
        function = getattr(value, "__func__", value)
        if inspect.isroutine(function):
            yield attribute, function


def _unmarked(plugin: object) -> Iterator[str]:
    for attribute, function in _functions(plugin):
        if attribute in _SPECS and not hasattr(function, "hookframe_impl"):
            yield f"{attribute} lacks @hookimpl, so that nobody calls it"


def _unknown(spec: str) -> str:
    near = difflib.get_close_matches(spec, _SPECS, n=1, cutoff=0.4)
    return f"{spec} is no spec" + (f": did you mean {near[0]}?" if near else "")


def _parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    """Those without a default, as pluggy has it."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD)
