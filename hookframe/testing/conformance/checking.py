"""The conformance run: every check of one plugin, and the card that comes of it."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from packaging.utils import canonicalize_name

from hookframe.errors import PluginError
from hookframe.host.installed.api import PLUGIN_API
from hookframe.host.installed.distribution import PluginDistribution
from hookframe.host.installed.inventory import take_inventory
from hookframe.host.running.inspection import name_of
from hookframe.testing.conformance.behaving import behaviour_of
from hookframe.testing.conformance.behaviour import Behaviour
from hookframe.testing.conformance.card import Card, CheckResult, Verdict, merged
from hookframe.testing.conformance.catalogue import CHECKS
from hookframe.testing.conformance.importing import import_results
from hookframe.testing.conformance.metadata import metadata_results

__all__ = ["check_plugin", "installed"]


def check_plugin(plugin: object, *, timeout: float = 120.0) -> Card:
    """Check whether a plugin is what hookframe asks of it.

    :param plugin: the name of an installed distribution, which is imported and called in child processes alone; or the
        plugin itself (a module, an object, a class), which is configured and called in this process, and for which the
        checks of metadata, importing and other processes are not applicable.
    :param timeout: how long one child process may take, in seconds.
    :raises PluginError: if no distribution of that name with plugins is installed.
    """
    if isinstance(plugin, str):
        return _check_distribution(installed(plugin), timeout)
    behaviour = Behaviour(plugin)
    behaviour.run()
    results = _complete(behaviour.results, "needs an installed distribution")
    return _card(name_of(plugin), None, results, behaviour.microseconds)


def installed(name: str) -> PluginDistribution:
    """The installed distribution with plugins of that name.

    :raises PluginError: if there is none.
    """
    distributions = take_inventory().distributions
    wanted = canonicalize_name(name)
    for distribution in distributions:
        if distribution.name == wanted and distribution.copy_of is None:
            return distribution
    names = ", ".join(sorted({distribution.name for distribution in distributions})) or "none"
    raise PluginError(f"no distribution {name!r} with hookframe plugins is installed: those with plugins are {names}")


def _check_distribution(distribution: PluginDistribution, timeout: float) -> Card:
    metadata = metadata_results(distribution)
    by_entry_point: dict[str, list[CheckResult]] = {}
    microseconds: dict[str, float] = {}
    resolves = any(r.name == "entry-point-resolves" and r.verdict is Verdict.PASS for r in metadata)
    for point in distribution.entry_points if resolves else ():
        results = import_results(point.value.partition("[")[0].replace(" ", ""), timeout)
        if any(r.name == "import-succeeds" and r.verdict is Verdict.PASS for r in results):
            behaved = behaviour_of(point.value.partition("[")[0].replace(" ", ""), timeout)
            results += behaved.results
            microseconds.update(behaved.microseconds)
        found = {result.name: result for result in [*metadata, *results]}
        by_entry_point[point.name] = _complete(found.values(), "it has no implementation of that kind")
    lists = list(by_entry_point.values()) or [_complete(metadata, "the plugin could not be reached")]
    names = list(by_entry_point) or [distribution.name]
    results = [merged(dict(zip(names, row, strict=True))) for row in zip(*lists, strict=True)]
    return _card(distribution.name, distribution.version, results, microseconds)


def _complete(found: Iterable[CheckResult], otherwise: str) -> list[CheckResult]:
    """A result for every check: those that were tried, less those that mean nothing because another one failed."""
    tried = {result.name: result for result in found}
    complete: list[CheckResult] = []
    spoilt: set[str] = set()
    for check in CHECKS:
        result = tried.get(check.name)
        causes = [name for name in check.after if name in spoilt]
        if causes and (result is None or result.verdict is not Verdict.PASS):
            result = _not_applicable(check.name, f"{causes[0]} failed")
            spoilt.add(check.name)
        elif result is None:
            result = _not_applicable(check.name, otherwise)
        elif result.verdict is Verdict.FAIL:
            spoilt.add(check.name)
        complete.append(result)
    return complete


def _not_applicable(name: str, reason: str) -> CheckResult:
    return CheckResult(name=name, verdict=Verdict.NOT_APPLICABLE, reason=reason)


def _card(name: str, version: str | None, results: list[CheckResult], microseconds: dict[str, float]) -> Card:
    from hookframe.version import __version__

    return Card(
        plugin=name,
        version=version,
        hookframe=__version__,
        api=PLUGIN_API,
        python=platform.python_version(),
        results=tuple(results),
        microseconds=microseconds,
    )
