"""Loading the installed plugins: importing and registering those that may load, each guarded."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookframe.errors import PluginRejected
from hookframe.host.installed.distribution import Candidate
from hookframe.host.installed.integrity import verified_files
from hookframe.host.installed.judging import record_of, with_notes
from hookframe.host.installed.plugin_choice import PluginChoice
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.installed.rules import LoadingRules
from hookframe.host.installed.survey import survey

if TYPE_CHECKING:
    from hookframe.host.running.holding import HeldPlugins

__all__ = ["load_installed"]

logger = logging.getLogger("hookframe.plugins")


def load_installed(
    manager: HeldPlugins, selection: PluginChoice, rules: LoadingRules, *, only: Collection[str] | None = None
) -> None:
    """Import and register every installed plugin that may load, in sorted order, each guarded.

    :param only: normalised names of the distributions to load; the others are passed over, without a record.
    """
    surveyed = survey(selection, rules)
    outcomes = [(verdict.record, verdict.candidate) for verdict in surveyed.verdicts]
    for record, candidate in [*outcomes, *((other, None) for other in surveyed.others)]:
        if only is not None and record.distribution not in only:
            continue
        found = candidate is not None and record.state is PluginState.FOUND
        outcome = _load(manager, candidate, rules) if found and candidate is not None else record
        if outcome.state is not PluginState.LOADED:
            manager.add_record(outcome)
            log = logger.info if outcome.state is PluginState.DISABLED else logger.warning
            log("plugin %s is %s: %s", outcome.name, outcome.state, outcome.reason)
    for fault in surveyed.faults:
        logger.info("%s", fault)


def _load(manager: HeldPlugins, candidate: Candidate, rules: LoadingRules) -> PluginRecord:
    if manager.treatment_of(candidate.label).isolation == "process":
        return _isolate(manager, candidate, rules)
    assured = _tampered_meanwhile(candidate) if rules.strict else nullcontext()
    if isinstance(assured, PluginRecord):
        return assured
    repair = f"repair {candidate.name}, or reinstall it: pip install --force-reinstall --no-deps {candidate.name}"
    try:
        with assured:
            plugin: Any = candidate.entry_point.load()  # type: ignore[union-attr]  # found ones have an entry point
    except PluginRejected as error:
        return record_of(candidate, PluginState.BROKEN, str(error), step="import", repair=repair)
    except (Exception, SystemExit) as error:
        logger.debug("plugin %s cannot be imported", candidate.name, exc_info=error)
        reason = f"importing it raised {type(error).__name__}: {error}"
        return record_of(candidate, PluginState.BROKEN, reason, step="import", repair=repair)
    try:
        reason = with_notes(candidate, "installed and imported")
        return manager.register(plugin, record_of(candidate, PluginState.LOADED, reason, step="registration"))
    except PluginRejected as error:
        cause = error.__cause__
        broken = cause is not None and not isinstance(cause, PluginRejected)
        state = PluginState.BROKEN if broken else PluginState.INCOMPATIBLE
        return record_of(candidate, state, str(error), step="registration", repair=repair)


def _isolate(manager: HeldPlugins, candidate: Candidate, rules: LoadingRules) -> PluginRecord:
    """Start the plugin in a process of its own; with strict rules, past every compiled file that lies beside its source."""
    repair = f"set isolation = 'none' for {candidate.name}, or repair it"
    if rules.strict:
        check = verified_files(candidate.distribution)[0]
        if not check.intact:
            return record_of(candidate, PluginState.TAMPERED, check.describe(), step="integrity", repair=repair)
    try:
        return manager.register_isolated(
            candidate.entry_point.value,  # type: ignore[union-attr]  # found ones have an entry point
            name=candidate.label,
            limit=manager.treatment_of(candidate.label).time_limit,
            record=record_of(candidate, PluginState.LOADED, "", step="isolation"),
            fresh=rules.strict,
        )
    except PluginRejected as error:
        return record_of(candidate, PluginState.BROKEN, str(error), step="isolation", repair=repair)


def _tampered_meanwhile(candidate: Candidate) -> PluginRecord | AbstractContextManager[None]:
    """The import of verified bytes; a record if the files, which are read again for it, no longer agree."""
    from hookframe.host.running.strict import VerifiedModules, importing_verified

    check, files = verified_files(candidate.distribution)
    if not check.intact:
        repair = f"pip install --force-reinstall --no-deps {candidate.name}"
        return record_of(candidate, PluginState.TAMPERED, check.describe(), step="integrity", repair=repair)
    root = Path(os.path.dirname(candidate.distribution.path))  # noqa: PTH120  # the path is a string
    return importing_verified(VerifiedModules(root, files))
