"""Which plugins the user wants loaded: ``HOOKFRAME_PLUGINS`` and ``--no-plugin``."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name

__all__ = ["VARIABLE", "PluginChoice"]

VARIABLE = "HOOKFRAME_PLUGINS"
"""``none`` loads no plugin; ``name,name`` loads these distributions only; unset or ``all`` loads all."""


@dataclass(frozen=True, slots=True)
class PluginChoice:
    """Which distributions the user wants loaded.

    :ivar only: their names, None for all.
    :ivar without: names to leave out.
    """

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, without: Collection[str] = ()
    ) -> PluginChoice:
        """Read :data:`VARIABLE`."""
        text = (os.environ if environment is None else environment).get(VARIABLE, "all").strip()
        left_out = frozenset(map(canonicalize_name, without))
        if text.lower() in ("", "all"):
            return cls(None, left_out)
        if text.lower() == "none":
            return cls(frozenset(), left_out)
        return cls(frozenset(canonicalize_name(part.strip()) for part in text.split(",") if part.strip()), left_out)

    @property
    def names(self) -> frozenset[str]:
        """Every distribution that is named, to be loaded or to be left out."""
        return (self.only or frozenset()) | self.without

    def why_not(self, name: str) -> str | None:
        """Why the distribution is left out; None if it is not."""
        if name in self.without:
            return "left out on the command line"
        if self.only is not None and name not in self.only:
            return f"not among the plugins that {VARIABLE} names"
        return None
