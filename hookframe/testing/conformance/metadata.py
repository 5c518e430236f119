"""Whether a distribution's metadata says what it should, and truthfully. Nothing is imported."""

from __future__ import annotations

from email.message import Message

from hookframe.host.installed.api import PLUGIN_API
from hookframe.host.installed.compatibility import KEYWORD, why_api_differs, why_hookframe_differs
from hookframe.host.installed.distribution import PluginDistribution
from hookframe.host.installed.metadata import headers_of
from hookframe.host.installed.modules import locate
from hookframe.testing.conformance.card import CheckResult, Verdict

__all__ = ["metadata_results"]


def metadata_results(distribution: PluginDistribution) -> list[CheckResult]:
    """The checks of ``distribution``'s metadata."""
    if distribution.problem is not None:
        return [_result("metadata-complete", [distribution.problem], "")]
    headers = headers_of(distribution.source)
    return [
        _result(
            "metadata-complete", _incomplete(headers), f"{headers['Name']} {headers['Version']}, {_licence(headers)}"
        ),
        _requires(distribution),
        _states(distribution),
        _result("entry-point-resolves", _nowhere(distribution), _named(distribution)),
    ]


def _incomplete(headers: Message) -> list[str]:
    missing = [f"no {field}" for field in ("Name", "Version") if not headers.get(field)]
    return missing + ([] if _licence(headers) else ["no licence: set `license` in pyproject.toml"])


def _licence(headers: Message) -> str:
    classifiers = [str(line) for line in headers.get_all("Classifier") or () if str(line).startswith("License ::")]
    said = headers.get("License-Expression") or headers.get("License") or next(iter(classifiers), "")
    return next(iter(str(said).splitlines()), "").strip()


def _requires(distribution: PluginDistribution) -> CheckResult:
    requirements = distribution.requires_hookframe
    wrong = [] if requirements else ["it does not require hookframe: add it to `dependencies`"]
    differs = why_hookframe_differs(requirements)
    return _result("requires-hookframe", wrong + ([differs] if differs else []), "; ".join(requirements))


def _states(distribution: PluginDistribution) -> CheckResult:
    if distribution.api is None:
        wrong = f"no range is stated: add the keyword '{KEYWORD} ~={PLUGIN_API}'"
        return _result("api-range-stated", [wrong], "")
    differs = why_api_differs(distribution.api)
    return _result("api-range-stated", [differs] if differs else [], f"{distribution.api} has {PLUGIN_API} in it")


def _nowhere(distribution: PluginDistribution) -> list[str]:
    if not distribution.entry_points:
        return ["it has no entry point that can be read"]
    return [
        f"{point.name} = {point.value}: there is no module {point.value.partition(':')[0].strip()!r}"
        for point in distribution.entry_points
        if locate(point.value.partition(":")[0].strip()) is None
    ]


def _named(distribution: PluginDistribution) -> str:
    return ", ".join(f"{point.name} = {point.value}" for point in distribution.entry_points)


def _result(name: str, wrong: list[str], good: str) -> CheckResult:
    verdict = Verdict.FAIL if wrong else Verdict.PASS
    return CheckResult(name=name, verdict=verdict, reason="; ".join(wrong) or good)
