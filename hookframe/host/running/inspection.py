"""Inspects a plugin before it is registered: refuses what pluggy would let through, and finds where specs are implemented."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from hookframe import hookspecs
from hookframe.errors import PluginRejected
from hookframe.hookspecs import PREFIX
from hookframe.host.installed.record import Implementation

__all__ = ["SPECS", "arguments_of", "implementation", "inspect_plugin", "made", "name_of"]

SPECS = tuple(name.removeprefix(PREFIX) for name in vars(hookspecs) if name.startswith(PREFIX))
"""Names of all specs, without the prefix."""


def made(plugin: type) -> object:
    """An object of a plugin that is a class.

    :raises PluginRejected: if it cannot be made without arguments.
    """
    try:
        return plugin()
    except (Exception, SystemExit) as error:
        raise PluginRejected(f"plugin class {plugin.__name__!r} cannot be made without arguments: {error}") from error


def name_of(plugin: object) -> str:
    """The name of a plugin that is registered by hand."""
    named = plugin if hasattr(plugin, "__name__") else type(plugin)
    return str(getattr(named, "__name__", repr(plugin)))


def inspect_plugin(plugin: object, name: str) -> None:
    """Refuse what pluggy would let through: unknown specs, unknown arguments, wrappers, and being the only answer.

    :raises PluginRejected: with the nearest known spec.
    """
    for attribute in dir(plugin):
        try:
            value = inspect.getattr_static(plugin, attribute)
        except AttributeError:
            continue
        options = getattr(getattr(value, "__func__", value), "hookframe_impl", None)
        if not isinstance(options, dict):
            _check_unmarked(attribute, getattr(value, "__func__", value), name)
            continue
        spec = str(options.get("specname") or attribute)
        _check_spec(spec, name)
        if any(options.get(flag) for flag in ("wrapper", "hookwrapper")):
            raise PluginRejected(f"plugin {name!r} wraps {spec}: no implementation may stand between others")
        _check_arguments(getattr(plugin, attribute), spec, name)


def _check_spec(spec: str, name: str) -> None:
    if spec.removeprefix(PREFIX) not in SPECS or not spec.startswith(PREFIX):
        near = difflib.get_close_matches(spec, [PREFIX + known for known in SPECS], n=1, cutoff=0.4)
        hint = f": did you mean {near[0]}?" if near else ""
        raise PluginRejected(f"plugin {name!r} implements {spec}, which is no spec of this hookframe{hint}")


def _check_unmarked(attribute: str, value: object, name: str) -> None:
    """Refuse a function that is named as an implementation and is not marked as one: it would do nothing."""
    if attribute.startswith(PREFIX) and inspect.isfunction(value):
        raise PluginRejected(
            f"plugin {name!r} has a function {attribute} without @hookimpl, which would never be called"
        )


def arguments_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the arguments that an implementation takes, positional and keyword."""
    return tuple(inspect.signature(function).parameters)


def _check_arguments(function: Callable[..., Any], spec: str, name: str) -> None:
    known = [*inspect.signature(getattr(hookspecs, spec)).parameters]
    for argument in arguments_of(function):
        if argument not in known:
            raise PluginRejected(f"plugin {name!r}: {spec} takes {known}, and the implementation asks for {argument!r}")


def implementation(spec: str, function: Callable[..., Any]) -> Implementation:
    """Where ``function``, which implements ``spec``, is written."""
    inner = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(inner, "__code__", None)
    return Implementation(spec, getattr(code, "co_filename", None), getattr(code, "co_firstlineno", None))
