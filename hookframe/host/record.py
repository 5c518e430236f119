"""What is known about each plugin, and why it is in the state that it is in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["PluginRecord", "PluginState"]


class PluginState(StrEnum):
    """What became of a plugin."""

    FOUND = "found"
    """Installed; nothing has been loaded yet."""
    LOADED = "loaded"
    """Imported and registered."""
    DISABLED = "disabled"
    """Left out because a person said so."""
    INCOMPATIBLE = "incompatible"
    """It implements something that this hookframe does not have, or in a way that it does not allow."""
    BROKEN = "broken"
    """It failed when it was imported or registered."""
    DUPLICATE = "duplicate"
    """Another plugin of the same name was there first."""
    TRIPPED = "tripped"
    """Loaded, but one of its observers failed so often that it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRecord:
    """One plugin.

    :ivar name: the distribution's name; for a plugin registered by hand, the name it was given.
    :ivar version: the distribution's version, None if there is none.
    :ivar entry_point: where it was found, as ``name = module:attribute``.
    :ivar reason: why it is in this state, as a phrase.
    :ivar specs: names of the specs it implements, without the prefix; empty before it is loaded.
    """

    name: str
    version: str | None = None
    entry_point: str | None = None
    state: PluginState
    reason: str
    specs: tuple[str, ...] = ()
