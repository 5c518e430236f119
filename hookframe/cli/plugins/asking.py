"""What the verbs of ``hookframe plugins`` share: their options, and the exit codes for states."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import reduce
from operator import and_
from typing import Any, TypeVar

import click

from hookframe.cli.in_force import loading_in_force
from hookframe.cli.output import FAILED, FINDINGS, FINE, INTEGRITY
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.installed.rules import LoadingRules

__all__ = ["exit_code", "no_plugin", "rules", "unknown_plugin"]

_Verb = TypeVar("_Verb", bound=Callable[..., Any])

_FINE_STATES = {PluginState.FOUND, PluginState.LOADED, PluginState.DISABLED, PluginState.BLOCKED}
_FAILED_STATES = {PluginState.BROKEN, PluginState.TRIPPED}


def _read_rules(ctx: click.Context, parameter: click.Parameter, paths: tuple[str, ...]) -> LoadingRules:
    return reduce(and_, map(LoadingRules.from_toml, paths), loading_in_force())


def rules(verb: _Verb) -> _Verb:
    """Add ``--rules FILE``, which gives the verb a :class:`LoadingRules`: those of the policy, and those of the files."""
    text = "Apply the rules for loading in this TOML file, or in a lock file, besides those of the policy; all hold."
    return click.option("--rules", metavar="FILE", multiple=True, callback=_read_rules, help=text)(verb)


def no_plugin(verb: _Verb) -> _Verb:
    """Add ``--no-plugin NAME``."""
    text = "Leave a distribution out; can be repeated."
    return click.option("--no-plugin", "without", metavar="NAME", multiple=True, help=text)(verb)


def exit_code(records: Iterable[PluginRecord], required: Collection[str] = ()) -> int:
    """The code for these states: the gravest of integrity, failure and findings.

    A plugin that was left out on purpose is no finding, unless it is required; nor is a denied one that is not there.
    """
    codes = {_code(record, record.distribution in required) for record in records}
    return next((code for code in (INTEGRITY, FAILED, FINDINGS) if code in codes), FINE)


def _code(record: PluginRecord, required: bool) -> int:
    if record.state is PluginState.TAMPERED:
        return INTEGRITY
    if record.state in _FAILED_STATES:
        return FAILED
    if record.state in (PluginState.FOUND, PluginState.LOADED):
        return FINE
    return FINE if record.state in _FINE_STATES and not required else FINDINGS


def unknown_plugin(name: str, known: Iterable[str]) -> click.UsageError:
    """The error for a name that no installed plugin has."""
    import difflib

    near = difflib.get_close_matches(name, sorted(set(known)), n=1)
    hint = f": did you mean {near[0]}?" if near else ": see 'hookframe plugins list'"
    return click.BadParameter(f"no plugin {name!r} is installed{hint}", param_hint="NAME")
