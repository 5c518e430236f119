"""The plugin's options: given by the operator, or else found in the environment."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookframe_log.selector import Selector

__all__ = ["FORMATS", "VARIABLES", "LogOptions"]

FORMATS = ("text", "json")

VARIABLES = {
    "level": "HOOKFRAME_LOG_LEVEL",
    "points": "HOOKFRAME_LOG_POINTS",
    "format": "HOOKFRAME_LOG_FORMAT",
    "file": "HOOKFRAME_LOG_FILE",
}
"""Option → the environment variable that stands in for it when it is not given; an empty variable counts as unset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """How to log.

    :ivar level: the level of every record.
    :ivar points: the points to log; events about none of them are left out.
    :ivar format: ``"text"`` or ``"json"``.
    :ivar file: append to this file as well, None for no file.
    :ivar stderr: write to standard error as well.
    """

    level: int = logging.INFO
    points: Selector = field(default_factory=Selector)
    format: str = "text"
    file: Path | None = None
    stderr: bool = False

    @classmethod
    def read(cls, options: Mapping[str, Any], environment: Mapping[str, str]) -> LogOptions:
        """Read what is given, the operator's options before the environment.

        :raises ValueError: for unknown options and values that cannot be; it names all of them.
        """
        problems = [_unknown(name) for name in options if name not in _PARSERS]
        found: dict[str, Any] = {}
        for name, parse in _PARSERS.items():
            variable = VARIABLES.get(name, "")
            if options.get(name) is not None:
                place, value = f"option {name!r}", options[name]
            elif environment.get(variable):
                place, value = variable, environment[variable]
            else:
                continue
            try:
                found[name] = parse(value)
            except ValueError as error:
                problems.append(f"{place} is {value!r}: {error}")
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**found)


def _level(value: Any) -> int:
    known = logging.getLevelNamesMapping()
    level = known.get(value.strip().upper()) if isinstance(value, str) else value
    if not isinstance(level, int) or isinstance(level, bool) or level <= 0:
        raise ValueError("use a level of the logging module, such as 'info', or a number above 0")
    return level


def _points(value: Any) -> Selector:
    globs = value.split(",") if isinstance(value, str) else value
    if not isinstance(globs, (list, tuple)) or not all(isinstance(glob, str) for glob in globs):
        raise ValueError(
            "use a glob over point names such as 'blocks.*.attn.*', a list of them, or several with commas"
        )
    stripped = tuple(glob.strip() for glob in globs if glob.strip())
    if not stripped:
        raise ValueError("it holds no glob: leave it out to log every point")
    return Selector(stripped)


def _format(value: Any) -> str:
    if value not in FORMATS:
        raise ValueError(f"use one of {[*FORMATS]}")
    return str(value)


def _file(value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("use the path of a file")
    return Path(value).expanduser()


def _stderr(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("use true or false")  # noqa: TRY004  # the caller collects these into one error
    return value


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(str(name), _PARSERS, n=1)
    return f"there is no option {name!r}: " + (f"did you mean {near[0]!r}?" if near else f"they are {[*_PARSERS]}")


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "level": _level,
    "points": _points,
    "format": _format,
    "file": _file,
    "stderr": _stderr,
}
