"""The plugin's options."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["TimingOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingOptions:
    """What becomes of the times.

    :ivar file: append a summary to this file at the end of the process, None for no file.
    :ivar slow_us: warn once of each function whose calls take longer on average, in microseconds; None for no warning.
    """

    file: Path | None = None
    slow_us: float | None = None

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> TimingOptions:
        """Read the operator's options; one that is None counts as not given.

        :raises ValueError: for unknown options and values that cannot be; it names all of them.
        """
        problems = [_unknown(name) for name in options if name not in _PARSERS]
        found: dict[str, Any] = {}
        for name, parse in _PARSERS.items():
            value = options.get(name)
            if value is None:
                continue
            try:
                found[name] = parse(value)
            except ValueError as error:
                problems.append(f"option {name!r} is {value!r}: {error}")
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**found)


def _file(value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("use the path of a file")
    path = Path(value).expanduser().absolute()  # where it points must not change when the process changes its directory
    if path.is_dir():
        raise ValueError("it is a directory: use the path of a file")
    if not path.parent.is_dir():
        raise ValueError(f"there is no directory {str(path.parent)!r}: make it first")
    return path


def _slow_us(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError("use a number of microseconds above 0")
    return float(value)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(str(name), _PARSERS, n=1)
    return f"there is no option {name!r}: " + (f"did you mean {near[0]!r}?" if near else f"they are {[*_PARSERS]}")


_PARSERS: dict[str, Callable[[Any], Any]] = {"file": _file, "slow_us": _slow_us}
