"""Warnings that point at the user's line, however deep in hookframe or torch they are issued."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType

__all__ = ["UserLine", "warn_user"]

_OWN = str(Path(__file__).parents[2]) + "/"
_LIBRARY_PARTS = ("/torch/", "/contextlib.py")


def warn_user(message: str, category: type[Warning]) -> None:
    """Issue a warning at the nearest caller outside hookframe, torch and contextlib."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_library(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


class UserLine:
    """The line of the nearest caller outside of hookframe, torch and contextlib, for a warning that is issued later."""

    __slots__ = ("_file", "_line", "_module", "_registry")

    def __init__(self) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and _is_library(frame):
            frame = frame.f_back
        self._file, self._line = frame.f_code.co_filename, frame.f_lineno
        self._module = frame.f_globals.get("__name__", "<unknown>")
        self._registry = frame.f_globals.setdefault("__warningregistry__", {})

    def warn(self, message: str, category: type[Warning]) -> None:
        """Issue a warning that points there."""
        warnings.warn_explicit(message, category, self._file, self._line, self._module, self._registry)


def _is_library(frame: FrameType) -> bool:
    if "__name__" not in frame.f_globals:  # generated code, which belongs to no module
        return True
    path = frame.f_code.co_filename.replace("\\", "/")
    return path.startswith(_OWN.replace("\\", "/")) or any(part in path for part in _LIBRARY_PARTS)
