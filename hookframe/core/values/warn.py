"""Warnings that point at the user's line, however deep in hookframe or torch they are issued."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType

__all__ = ["warn_user"]

_OWN = str(Path(__file__).parents[2]) + "/"
_LIBRARY_PARTS = ("/torch/", "/contextlib.py")


def warn_user(message: str, category: type[Warning]) -> None:
    """Issue a warning at the nearest caller outside hookframe, torch and contextlib."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_library(frame):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level + 1)


def _is_library(frame: FrameType) -> bool:
    if "__name__" not in frame.f_globals:  # generated code, which belongs to no module
        return True
    path = frame.f_code.co_filename.replace("\\", "/")
    return path.startswith(_OWN.replace("\\", "/")) or any(part in path for part in _LIBRARY_PARTS)
