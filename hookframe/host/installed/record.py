"""What is known about each plugin, and why it is in the state that it is in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Implementation", "PluginRecord", "PluginState"]


class PluginState(StrEnum):
    """What became of a plugin."""

    FOUND = "found"
    """Installed; nothing has been loaded yet."""
    LOADED = "loaded"
    """Imported and registered."""
    DISABLED = "disabled"
    """Left out because the user said so."""
    BLOCKED = "blocked"
    """Left out because the rules for loading say so."""
    MISSING = "missing"
    """Named by a rule or by the user, and not installed."""
    INCOMPATIBLE = "incompatible"
    """It asks for another plugin API or another hookframe, or implements a spec that is unknown here, or in a way that is
    not allowed."""
    BROKEN = "broken"
    """Its metadata cannot be used, or it failed when it was imported or registered."""
    DUPLICATE = "duplicate"
    """Another one of the same name was there first."""
    TAMPERED = "tampered"
    """Its files are not those that were installed, or not those that the rules pin."""
    TRIPPED = "tripped"
    """Loaded, but one of its observers failed so often that it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRecord:
    """One plugin.

    :ivar name: the distribution's name, followed by ``:entry`` where it has several plugins; for a plugin registered by
        hand, the name it was given.
    :ivar distribution: the distribution's normalised name, None for a plugin registered by hand.
    :ivar version: the distribution's version, None if there is none.
    :ivar entry_point: where it was found, as ``name = module:attribute``.
    :ivar origin: where the distribution was installed from, as :class:`~hookframe.host.installed.origin.OriginKind` says it.
    :ivar path: where the distribution's metadata lies, None if nothing is installed.
    :ivar reason: why it is in this state, as a phrase.
    :ivar step: which step of judging and loading decided.
    :ivar repair: what can be done about it; empty if there is nothing to do.
    :ivar specs: names of the specs it implements, without the prefix; empty before it is loaded.
    """

    name: str
    distribution: str | None = None
    version: str | None = None
    entry_point: str | None = None
    origin: str | None = None
    path: str | None = None
    state: PluginState
    reason: str
    step: str = ""
    repair: str = ""
    specs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Implementation:
    """Where a plugin implements a spec.

    :ivar spec: the spec's name, without the prefix.
    :ivar file: the source file, None if the function has none.
    :ivar line: where the function starts, from 1.
    """

    spec: str
    file: str | None
    line: int | None
