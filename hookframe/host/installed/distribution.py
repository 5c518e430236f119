"""Installed plugins as values: distributions, their entry points, and what is wrong with the environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from importlib_metadata import Distribution, EntryPoint

from hookframe.host.installed.origin import InstallOrigin, OriginKind

__all__ = ["GROUP", "Candidate", "Fault", "Inventory", "PluginDistribution", "module_of"]

GROUP = "hookframe.plugins"
"""The entry-point group of plugins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginDistribution:
    """One distribution that has plugins.

    :ivar name: its normalised name; guessed from its directory if its metadata has none.
    :ivar version: None if its metadata has none.
    :ivar entry_points: those of :data:`GROUP`, sorted; empty if they cannot be read.
    :ivar path: where its metadata lies.
    :ivar installer: what installed it, None if it does not say.
    :ivar api: the range of plugin API versions that it supports; None if it states none, empty if it cannot be read.
    :ivar requires_hookframe: its requirements on hookframe itself.
    :ivar problem: what is wrong with its metadata, None if nothing is.
    :ivar copy_of: where another distribution of the same name lies that comes first, None if there is none.
    :ivar source: what its other files are read from.
    """

    name: str
    version: str | None = None
    entry_points: tuple[EntryPoint, ...] = ()
    path: str
    origin: InstallOrigin = field(default_factory=lambda: InstallOrigin(OriginKind.UNKNOWN))
    installer: str | None = None
    api: str | None = None
    requires_hookframe: tuple[str, ...] = ()
    problem: str | None = None
    copy_of: str | None = None
    source: Distribution = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One plugin: an entry point of a distribution.

    :ivar entry_point: None if the distribution's entry points cannot be read.
    :ivar repeated: True if the distribution has another entry point of the same name before this one.
    :ivar rivals: other distributions that have an entry point of the same name.
    """

    distribution: PluginDistribution
    entry_point: EntryPoint | None
    repeated: bool = False
    rivals: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The distribution's name, which rules and options go by."""
        return self.distribution.name

    @property
    def label(self) -> str:
        """The plugin's name: the distribution's, followed by the entry point's where there are several."""
        several = len(self.distribution.entry_points) > 1
        return f"{self.name}:{self.entry_point.name}" if several and self.entry_point is not None else self.name

    @property
    def place(self) -> str | None:
        """The entry point as its metadata writes it."""
        return None if self.entry_point is None else f"{self.entry_point.name} = {self.entry_point.value}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the environment that is not a plugin, and may hide one.

    :ivar name: the normalised name of the distribution that it looks like, None if it looks like none.
    :ivar path: the file or directory.
    :ivar text: what is wrong with it.
    """

    name: str | None
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path} {self.text}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every distribution with plugins, sorted by name, copies after the one that counts; and the environment's faults."""

    distributions: tuple[PluginDistribution, ...]
    faults: tuple[Fault, ...] = ()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every plugin, sorted by distribution and entry point."""
        claims: dict[str, set[str]] = {}
        for distribution in self.distributions:
            for entry_point in distribution.entry_points:
                claims.setdefault(entry_point.name, set()).add(distribution.name)
        return tuple(candidate for each in self.distributions for candidate in _candidates(each, claims))


def _candidates(distribution: PluginDistribution, claims: dict[str, set[str]]) -> Iterator[Candidate]:
    if not distribution.entry_points:
        yield Candidate(distribution=distribution, entry_point=None)
    seen: set[str] = set()
    for entry_point in distribution.entry_points:
        rivals = tuple(sorted(claims[entry_point.name] - {distribution.name}))
        repeated = entry_point.name in seen
        seen.add(entry_point.name)
        yield Candidate(distribution=distribution, entry_point=entry_point, repeated=repeated, rivals=rivals)


def module_of(entry_point: EntryPoint) -> str | None:
    """The module that an entry point names; None if it names none."""
    try:
        return entry_point.module or None
    except (AttributeError, ValueError):  # releases of the library differ in what a malformed one raises, and when
        return None
