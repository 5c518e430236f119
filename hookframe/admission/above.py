"""Functions of higher rooms that lower rooms call by name: the top of the package says where they are, a call imports them.

So lower rooms import nothing from above, and a program that never saves a cache never loads what saves it.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Above", "above"]


class Above:
    """Where such functions are, by name."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}

    def provide(self, **places: str) -> None:
        """Say where functions are, as ``module:function``; imports nothing."""
        self._places.update(places)

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call the function that was provided under ``name``.

        :raises RuntimeError: if there is none.
        """
        place = self._places.get(name)
        if place is None:
            raise RuntimeError(f"nothing provides {name!r}: import hookframe before its rooms")
        module, _, function = place.partition(":")
        return getattr(importlib.import_module(module), function)(*args, **kwargs)


above = Above()
