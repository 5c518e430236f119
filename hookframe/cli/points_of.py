"""Targets that the user names on the command line: a model as ``module:object``, or a file of facts."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hookframe.policy.language.vocabulary import Value

__all__ = ["is_facts", "load_model", "load_object", "points_in", "points_of"]


def is_facts(target: str) -> bool:
    """True if ``target`` names a file of facts and no object."""
    return target.endswith(".toml")


def load_object(target: str) -> Any:
    """What ``module:object`` names; the working directory is looked in first, as Python does for a script.

    :raises click.UsageError: if there is no such thing.
    """
    module, colon, path = target.partition(":")
    if not colon or not module or not path:
        raise click.UsageError(f"{target!r} names no object: write it as module:object, or give a TOML file of facts")
    if os.getcwd() not in sys.path:  # noqa: PTH109  # as it stands in sys.path
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        value: Any = importlib.import_module(module)
    except ImportError as error:
        raise click.UsageError(f"{target!r}: {module} cannot be imported: {error}") from error
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError as error:
            raise click.UsageError(f"{target!r}: {error}") from error
    return value


def load_model(target: str) -> Any:
    """The model that ``module:object`` names: the object itself, or what it returns when it is called.

    :raises click.UsageError: if it has no hook points.
    """
    value = load_object(target)
    if not hasattr(value, "hook_dict") and callable(value):
        value = value()
    if not isinstance(getattr(value, "hook_dict", None), Mapping):
        raise click.UsageError(
            f"{target!r} is a {type(value).__name__} without hook points: name a HookedRootModule, or a function that "
            "makes one"
        )
    return value


def points_in(facts: Mapping[str, Value]) -> list[str]:
    """The points that facts speak of."""
    found = [facts.get(path) for path in ("request.points", "request.point")]
    return [name for names in found if isinstance(names, tuple) for name in names]


def points_of(target: str) -> list[str]:
    """Names of the points of a model, or in a file of facts."""
    if not is_facts(target):
        return list(load_model(target).hook_dict)
    from hookframe.policy.tools.cases import read_facts

    return points_in(read_facts(Path(target)))
