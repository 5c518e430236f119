"""How much a policy promises on this machine, and why it is not more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hookframe.host.installed.integrity import check_files
from hookframe.host.installed.judging import PluginVerdict
from hookframe.host.installed.record import PluginState
from hookframe.policy.in_force.found import Found
from hookframe.policy.in_force.policy import Policy

__all__ = ["Guarantee", "Level", "guarantee_of"]


class Level(StrEnum):
    """How much a policy promises, weakest first."""

    NONE = "none"
    """No policy is in force."""
    ADVISORY = "advisory"
    """The user who runs the code can change the policy: it stops mistakes."""
    MANAGED = "managed"
    """A layer that this user cannot write is in force, and the plugins that load are those that were installed."""
    ATTESTED = "attested"
    """Managed, and a journal that is required and forward-secure shows afterwards what ran."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """The level in force.

    :ivar reasons: why it is not higher, each as a phrase with what to do; empty at the highest.
    """

    level: Level
    reasons: tuple[str, ...] = ()


def guarantee_of(found: Found, verdicts: Sequence[PluginVerdict]) -> Guarantee:
    """The level that layers and plugins come to.

    It says what holds against mistakes and against changes to files by this user. Nothing holds against code in the same
    process that means to get around it.

    :param verdicts: what would become of each installed plugin.
    """
    if not found:
        return Guarantee(Level.NONE, ("no layer has a file: see 'hookframe policy --help'",))
    unmanaged = tuple(_why_advisory(found, verdicts))
    if unmanaged:
        return Guarantee(Level.ADVISORY, unmanaged)
    unattested = tuple(_why_managed(found.policy))
    return Guarantee(Level.MANAGED, unattested) if unattested else Guarantee(Level.ATTESTED)


def _why_advisory(found: Found, verdicts: Sequence[PluginVerdict]) -> Iterator[str]:
    for file, _ in found.unreadable:
        yield f"the {file.kind.label} layer {file.path} cannot be read, and every hook is refused: repair it"
    managed = [layer for layer in found.layers if layer.kind.managed]
    if not managed:
        yield "no layer of the machine or of the organisation is in force: install one"
    for layer in managed:
        writable = _writable(Path(layer.file))
        if writable is not None:
            yield f"this user can write {writable}, of the {layer.kind.label} layer: let only root write it"
    for verdict in verdicts:
        if verdict.record.state is PluginState.FOUND:
            check = check_files(verdict.candidate.distribution)
            if check.impossible is not None or not check.intact:
                yield f"plugin {verdict.record.name} loads unverified: {check.describe()}"


def _writable(path: Path) -> Path | None:
    """What of a file and the directories that it lies in this user can write; None if nothing."""
    resolved = path.resolve()
    return next((place for place in (resolved, *resolved.parents) if os.access(place, os.W_OK)), None)


def _why_managed(policy: Policy) -> Iterator[str]:
    for name, what in (
        ("directory", "no journal is kept: set journal.directory"),
        ("sealed_to", "records have no forward-secure MAC: set journal.sealed_to to the operator's public key"),
        ("required", "hooks run while the journal cannot be written: set journal.required = true"),
    ):
        value = policy.values.get(f"journal.{name}")
        if value is None or not value.value:
            yield what
        elif not value.origin.layer.managed:
            yield f"journal.{name} is set by the {value.origin.layer.label} layer: set it in a stronger one"
