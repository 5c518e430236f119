"""Putting a policy in force: the manager that loads what it allows, requires what it requires, and asks it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from hookframe.host.children import compare_and_announce
from hookframe.host.manager import PluginManager
from hookframe.host.record import PluginRecord, PluginState
from hookframe.host.treatment import Treatment
from hookframe.policy.layers import Found, LayerPlaces, read_layers

NAME = "policy"
"""The name under which the policy is registered, and objects."""

if TYPE_CHECKING:
    from hookframe.policy.policy import Policy

__all__ = ["NAME", "govern", "governed_manager", "managed_layers", "options_of", "treatments_of"]


@cache
def managed_layers() -> Found:
    """The layers that the person who runs the code does not write; read once in a process."""
    return read_layers(LayerPlaces.standard()).only_managed()


def governed_manager(found: Found | None = None, *, without: Collection[str] = ()) -> PluginManager:
    """A manager with the installed plugins that the policy lets load, and the policy itself.

    The outcome is compared with what a parent process announced, and announced to children.

    :param found: the layers; those of this process if None.
    :param without: names of distributions to leave out, as a person may.
    """
    found = read_layers(LayerPlaces.standard()) if found is None else found
    policy = found.policy if found else None
    manager = PluginManager.installed(
        rules=None if policy is None else policy.loading,
        without=without,
        options={} if policy is None else options_of(policy),
        treatments={} if policy is None else treatments_of(policy),
    )
    govern(manager, found)
    compare_and_announce(manager, policy="" if policy is None else policy.digest, ruled=found.managed)
    return manager


def govern(manager: PluginManager, found: Found) -> None:
    """Let ``manager`` ask the policy, besides its plugins; does nothing if it does already, or if there is none."""
    if not found or any(record.name == NAME for record in manager.records):
        return
    from hookframe.policy.engine import PolicyEngine
    from hookframe.policy.refusals import refusals_of

    manager.enforce(found.policy.loading)
    engine = PolicyEngine(found.policy, families=manager.families, refusals=refusals_of(found))
    files = ", ".join(layer.file for layer in found.layers) or "none that can be read"
    record = PluginRecord(name=NAME, state=PluginState.LOADED, reason=f"the policy in force: {files}")
    manager.register(engine, record)


def options_of(policy: Policy) -> Mapping[str, Mapping[str, Any]]:
    """The options of each plugin, as the policy has them."""
    found: dict[str, dict[str, Any]] = {}
    for path, value in policy.below("plugins.").items():
        name, dot, key = path.partition(".options.")
        if dot:
            found.setdefault(name, {})[key] = value
    return found


def treatments_of(policy: Policy) -> Mapping[str, Treatment]:
    """How each plugin is treated, as the policy has it."""
    found: dict[str, dict[str, Any]] = {}
    for path, value in policy.below("plugins.").items():
        name, _, key = path.rpartition(".")
        if key in ("failure", "isolation", "time_limit") and ".options" not in path:
            found.setdefault(name, {})[key] = value
    return {name: Treatment(**facts) for name, facts in found.items()}
