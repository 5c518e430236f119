"""What an entry point names, imported; for the children of a conformance run."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["load"]


def load(target: str) -> Any:
    """Import ``module`` or ``module:attribute``.

    :raises AttributeError: if the module has no such attribute.
    """
    module, _, attributes = target.partition(":")
    found: Any = import_module(module)
    for attribute in filter(None, attributes.split(".")):
        found = getattr(found, attribute)
    return found
