"""Numbers of bytes, as people write and read them."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ["SIZE", "human"]

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


class _Size(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases
    """``2GiB``, ``500 MB``, ``4096``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value).lower())
        if parts is None or parts[2] not in _UNITS:
            self.fail(f"{value!r} is no number of bytes: write 4096, 500MB or 2GiB", param, ctx)
        return int(float(parts[1]) * _UNITS[parts[2]])


SIZE = _Size()


def human(nbytes: float) -> str:
    """``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1024:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} TiB"
