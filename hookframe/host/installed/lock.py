"""Pins of the installed plugins: made, written as rules, and compared with what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hookframe.extras import needing
from hookframe.host.installed.compatibility import contains
from hookframe.host.installed.distribution import Inventory, PluginDistribution
from hookframe.host.installed.integrity import check_files
from hookframe.host.installed.rules import LoadingRules, PluginPin

__all__ = ["Lock", "LockDifference", "compare", "lock_installed"]

_HEAD = "# Written by 'hookframe plugins lock'; checked by 'hookframe plugins lock --check'. It is a file of rules as well.\n"


@dataclass(frozen=True, slots=True)
class LockDifference:
    """One way in which a plugin is not what a lock says.

    :ivar integrity: True if there are other files than the pinned ones; False if a plugin is missing, is not pinned, or
        cannot be compared.
    """

    plugin: str
    text: str
    integrity: bool = False

    def __str__(self) -> str:
        return f"{self.plugin}: {self.text}"


@dataclass(frozen=True, slots=True)
class Lock:
    """Pins of what is installed.

    :ivar pins: one for each distribution that counts, sorted by name.
    :ivar doubts: why a pin may be inexact or wrong.
    """

    pins: tuple[PluginPin, ...]
    doubts: tuple[LockDifference, ...] = ()

    def to_toml(self) -> str:
        """The lock as a file of rules."""
        with needing("policy", "writing a lock file"):
            import tomli_w

        tables = {pin.plugin: {"version": pin.version, "digest": pin.digest} for pin in self.pins}
        plugins = {name: {k: v for k, v in table.items() if v is not None} for name, table in tables.items()}
        return _HEAD + tomli_w.dumps({"plugins": plugins})


def lock_installed(inventory: Inventory) -> Lock:
    """Pin every installed plugin to its version and its digest."""
    checks = [(distribution, check_files(distribution)) for distribution in _counted(inventory)]
    pins = tuple(PluginPin(plugin=d.name, version=_exactly(d.version), digest=check.digest) for d, check in checks)
    doubts = [
        LockDifference(d.name, check.describe(), check.impossible is None) for d, check in checks if not check.intact
    ]
    return Lock(pins, tuple(doubts))


def compare(inventory: Inventory, rules: LoadingRules) -> tuple[LockDifference, ...]:
    """How the installed plugins differ from the pins, sorted by name."""
    installed = {distribution.name: distribution for distribution in _counted(inventory)}
    pinned = {pin.plugin for pin in rules.pins}
    found = [LockDifference(name, "it is installed, and is not in the lock") for name in installed.keys() - pinned]
    found += [LockDifference(name, "it is in the lock, and is not installed") for name in pinned - installed.keys()]
    for name in pinned & installed.keys():
        found += _differences(installed[name], rules.pins_for(name))
    return tuple(sorted(found, key=lambda difference: (difference.plugin, difference.text)))


def _differences(distribution: PluginDistribution, pins: tuple[PluginPin, ...]) -> Iterator[LockDifference]:
    name, version = distribution.name, distribution.version
    check = check_files(distribution)
    if check.impossible is not None:
        yield LockDifference(name, check.describe())
    elif not check.intact:
        yield LockDifference(name, check.describe(), integrity=True)
    for pin in pins:
        if pin.version is not None and not (version is not None and contains(pin.version, version)):
            yield LockDifference(name, f"its version is {version}, and the lock says {pin.version}", integrity=True)
        if pin.digest is not None and check.digest is not None and pin.digest != check.digest:
            yield LockDifference(name, f"its digest is {check.digest}, and the lock says {pin.digest}", integrity=True)
        if pin.digest is None and check.impossible is None:
            yield LockDifference(name, "it is in the lock without a digest, so that its files are not compared")


def _counted(inventory: Inventory) -> list[PluginDistribution]:
    return [d for d in inventory.distributions if d.copy_of is None and d.problem is None]


def _exactly(version: str | None) -> str | None:
    from packaging.version import InvalidVersion, Version

    try:
        return None if version is None else f"=={Version(version)}"
    except InvalidVersion:
        return f"==={version}"
