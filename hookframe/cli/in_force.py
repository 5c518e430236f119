"""The policy of this process, for verbs. What reads policies is loaded if there is one to read, and not before."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from hookframe.errors import PolicyError
from hookframe.host.installed.rules import LoadingRules
from hookframe.policy.files.layers import LayerPlaces
from hookframe.policy.in_force.found import Found, read_layers

if TYPE_CHECKING:
    from hookframe.host.running.manager import PluginManager
    from hookframe.policy.in_force.policy import Policy

__all__ = ["in_force", "installed_plugins", "leaving_out", "loading_in_force"]


def in_force() -> Policy:
    """The policy in force.

    :raises PolicyError: if a layer cannot be read; the mistakes of all layers are in its text.
    """
    return _readable().policy


def loading_in_force() -> LoadingRules:
    """What the policy in force says of plugins.

    :raises PolicyError: if a layer cannot be read.
    """
    found = _readable()
    return found.policy.loading if found else LoadingRules()


def _readable() -> Found:
    found = read_layers(LayerPlaces.standard())
    if found.unreadable:
        raise PolicyError([mistake for _, error in found.unreadable for mistake in error.mistakes])
    return found


def leaving_out(without: Collection[str]) -> AbstractContextManager[object]:
    """Decide with the installed plugins except these, under the policy in force; if none are given, as now."""
    if not without:
        return nullcontext()
    from hookframe.host.running.using import use_plugins
    from hookframe.policy.in_force.governing import governed_manager

    return use_plugins(governed_manager(without=without))


def installed_plugins(rules: LoadingRules, without: Collection[str], *, only: str | None = None) -> PluginManager:
    """The installed plugins, configured and treated as the policy says.

    :param only: load only this distribution.
    :raises PolicyError: if a layer cannot be read.
    """
    from hookframe.host.running.manager import PluginManager
    from hookframe.policy.in_force.governing import options_of, treatments_of

    policy = in_force()
    return PluginManager.installed(
        rules=rules, without=without, options=options_of(policy), treatments=treatments_of(policy), only=only
    )
