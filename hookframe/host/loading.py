"""Loading the installed plugins: which of them, in which order, and what to say of those that fail."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from hookframe.errors import PluginRejected
from hookframe.host.inventory import Candidate, installed_plugins
from hookframe.host.record import PluginRecord, PluginState

if TYPE_CHECKING:
    from hookframe.host.manager import PluginManager

__all__ = ["VARIABLE", "Selection", "load_installed", "survey"]

logger = logging.getLogger("hookframe.plugins")

VARIABLE = "HOOKFRAME_PLUGINS"
"""``none`` loads no plugin; ``name,name`` loads these distributions only; unset or ``all`` loads all."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which distributions a person wants loaded.

    :ivar only: their names, None for all.
    :ivar without: names to leave out.
    """

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, without: Collection[str] = ()) -> Selection:
        """Read :data:`VARIABLE`."""
        text = (os.environ if environment is None else environment).get(VARIABLE, "all").strip()
        left_out = frozenset(map(canonicalize_name, without))
        if text.lower() in ("", "all"):
            return cls(None, left_out)
        if text.lower() == "none":
            return cls(frozenset(), left_out)
        return cls(frozenset(canonicalize_name(part) for part in text.split(",") if part.strip()), left_out)

    def why_not(self, name: str) -> str | None:
        """Why the distribution is left out; None if it is not."""
        if name in self.without:
            return "left out on the command line"
        if self.only is not None and name not in self.only:
            return f"not among the plugins that {VARIABLE} names"
        return None

    def unmatched(self, names: Collection[str]) -> list[str]:
        """Names that were asked for, or left out, and are not installed."""
        return sorted(((self.only or frozenset()) | self.without) - set(names))


def survey(selection: Selection) -> list[tuple[Candidate, PluginRecord]]:
    """What would be loaded, without importing anything."""
    surveyed: list[tuple[Candidate, PluginRecord]] = []
    taken: dict[str, Candidate] = {}
    for candidate in installed_plugins():
        reason = selection.why_not(candidate.name)
        key = f"{candidate.name} {candidate.entry_point.name}"
        if reason is not None:
            state = PluginState.DISABLED
        elif key in taken:
            state, reason = PluginState.DUPLICATE, "another copy of the distribution comes first on the path"
        else:
            state, reason = PluginState.FOUND, "installed; loads when the first hook is attached"
            taken[key] = candidate
        surveyed.append((candidate, _record(candidate, state, reason)))
    return surveyed


def load_installed(manager: PluginManager, selection: Selection) -> None:
    """Import and register every installed plugin that ``selection`` allows, in sorted order, each guarded."""
    surveyed = survey(selection)
    for candidate, record in surveyed:
        outcome = _load(manager, candidate) if record.state is PluginState.FOUND else record
        if outcome.state is not PluginState.LOADED:
            manager.add_record(outcome)
            log = logger.info if outcome.state is PluginState.DISABLED else logger.warning
            log("plugin %s is %s: %s", outcome.name, outcome.state, outcome.reason)
    for name in selection.unmatched([candidate.name for candidate, _ in surveyed]):
        logger.warning("plugin %s is named in %s or on the command line, and is not installed", name, VARIABLE)


def _load(manager: PluginManager, candidate: Candidate) -> PluginRecord:
    try:
        plugin: Any = candidate.entry_point.load()
    except (Exception, SystemExit) as error:
        logger.debug("plugin %s cannot be imported", candidate.name, exc_info=error)
        return _record(candidate, PluginState.BROKEN, f"importing it raised {type(error).__name__}: {error}")
    try:
        return manager.register(plugin, _record(candidate, PluginState.LOADED, "installed and imported"))
    except PluginRejected as error:
        cause = error.__cause__
        broken = cause is not None and not isinstance(cause, PluginRejected)
        return _record(candidate, PluginState.BROKEN if broken else PluginState.INCOMPATIBLE, str(error))


def _record(candidate: Candidate, state: PluginState, reason: str) -> PluginRecord:
    return PluginRecord(
        name=candidate.name, version=candidate.version, entry_point=candidate.place, state=state, reason=reason
    )
