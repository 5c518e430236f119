"""Putting a policy in force: the manager that loads what it allows, requires what it requires, and asks it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.running.children import compare_and_announce, digest_of
from hookframe.host.running.manager import PluginManager
from hookframe.host.running.treatment import Treatment
from hookframe.policy.files.layers import LayerPlaces
from hookframe.policy.in_force.found import Found, read_layers

NAME = "policy"
"""The name under which the policy is registered, and objects."""

if TYPE_CHECKING:
    from hookframe.policy.in_force.policy import Policy

__all__ = [
    "NAME",
    "govern",
    "governed_manager",
    "managed_layers",
    "options_of",
    "plugins_under",
    "treatments_of",
]


@cache
def managed_layers() -> Found:
    """The layers that the person who runs the code does not write; read once in a process."""
    return read_layers(LayerPlaces.standard()).only_managed()


def governed_manager(found: Found | None = None, *, without: Collection[str] = ()) -> PluginManager:
    """The manager of this process: :func:`plugins_under` it, compared with what a parent process announced.

    The outcome is announced to children.

    :param found: the layers; those of this process if None.
    :param without: names of distributions that the user leaves out.
    """
    found = read_layers(LayerPlaces.standard()) if found is None else found
    manager = plugins_under(found, without=without)
    compare_and_announce(manager, policy=found.policy.digest if found else "", ruled=found.managed)
    return manager


def plugins_under(found: Found, *, without: Collection[str] = ()) -> PluginManager:
    """The installed plugins that the policy lets load, configured and treated as it says, and the policy itself."""
    if not found:
        return PluginManager.installed(without=without)
    policy = found.policy
    manager = PluginManager.installed(
        rules=policy.loading, without=without, options=options_of(policy), treatments=treatments_of(policy)
    )
    govern(manager, found)
    return manager


def govern(manager: PluginManager, found: Found) -> None:
    """Let ``manager`` ask the policy, and keep its journal; does nothing if it does already, or if there is no policy."""
    if not found:
        return
    from hookframe.policy.in_force.engine import PolicyEngine
    from hookframe.policy.in_force.journalling import JOURNAL, journal_options
    from hookframe.policy.in_force.refusals import refusals_of

    policy, refusals = found.policy, refusals_of(found)
    if any(isinstance(plugin, PolicyEngine) and plugin.asks(policy, refusals) for plugin in manager.plugins):
        return
    manager.default_scope = policy.value("settings.scope", manager.default_scope)
    manager.enforce(policy.loading, options=options_of(policy), treatments=treatments_of(policy))
    recorded = policy.loading.need_of(JOURNAL) is not None
    plugins = digest_of(manager.records)
    engine = PolicyEngine(policy, families=manager.families, refusals=refusals, recorded=recorded)
    files = ", ".join(layer.file for layer in found.layers) or "none that can be read"
    # numbered if a plugin has the name: none may keep the policy out with it
    name = manager.free_name(NAME)
    manager.register(engine, PluginRecord(name=name, state=PluginState.LOADED, reason=f"the policy in force: {files}"))
    for record in manager.records if recorded else ():
        if record.distribution == JOURNAL and record.state is PluginState.LOADED:
            manager.configure(record.name, {**journal_options(policy), "plugins": plugins, "facts_of": engine.facts_of})


def options_of(policy: Policy) -> Mapping[str, Mapping[str, Any]]:
    """The options of each plugin, as the policy has them; those of the journal's plugin come from the table ``journal``."""
    from hookframe.policy.in_force.journalling import JOURNAL, journal_options

    found: dict[str, dict[str, Any]] = {}
    for path, value in policy.below("plugins.").items():
        name, dot, key = path.partition(".options.")
        if dot:
            found.setdefault(name, {})[key] = value
    return found if policy.loading.need_of(JOURNAL) is None else {**found, JOURNAL: journal_options(policy)}


def treatments_of(policy: Policy) -> Mapping[str, Treatment]:
    """How each plugin is treated, as the policy has it."""
    found: dict[str, dict[str, Any]] = {}
    for path, value in policy.below("plugins.").items():
        name, _, key = path.rpartition(".")
        needed = policy.loading.need_of(name) is not None  # it runs in this process, whatever a layer says
        if key in ("failure", "isolation", "time_limit") and ".options" not in path and not needed:
            found.setdefault(name, {})[key] = value
    return {name: Treatment(**facts) for name, facts in found.items()}
