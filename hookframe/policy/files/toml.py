"""TOML that people wrote: bounded in size, depth and numbers, so that reading it takes no time and raises nothing else."""

from __future__ import annotations

import re
import tomllib
from typing import Any

__all__ = ["LARGEST", "parse"]

LARGEST = 1024 * 1024
"""Bytes that a file may have."""
_DEEPEST = 32
_TOO_DEEP = f"is nested more than {_DEEPEST} deep"
# tomllib takes quadratic time for a key of many parts. A part begins where no word goes on, so that this takes linear time.
_LONG_KEY = re.compile(rb"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){%d}""" % _DEEPEST)
_LARGEST_NUMBER = 2**63


def parse(data: bytes) -> dict[str, Any]:
    """What ``data`` says.

    :raises ValueError: if it is no TOML, larger than 1 MiB, nested more than 32 deep, or has integers of more than 64 bits;
        the text is a phrase that says so.
    """
    if len(data) > LARGEST:
        raise ValueError(f"is larger than {LARGEST} bytes: split it, or shorten it")
    if _LONG_KEY.search(data):
        raise ValueError(_TOO_DEEP)
    try:
        found = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # a ValueError of its own for thousands of digits
        raise ValueError(f"is no TOML: {error}") from error
    wrong = _out_of_bounds(found, 0)
    if wrong is not None:
        raise ValueError(wrong)
    return found


def _out_of_bounds(value: object, depth: int) -> str | None:
    if isinstance(value, int) and not -_LARGEST_NUMBER <= value < _LARGEST_NUMBER:
        return "has an integer of more than 64 bits"
    if not isinstance(value, (dict, list)):
        return None
    if depth > _DEEPEST:
        return _TOO_DEEP
    inner = value.values() if isinstance(value, dict) else value
    return next((wrong for item in inner if (wrong := _out_of_bounds(item, depth + 1))), None)
