"""What is wrong with a policy: every mistake at once, each with its file and line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from hookframe.policy.files.lines import KeyPath, Lines

__all__ = ["Mistake", "Mistakes", "near", "shortened"]

_MOST = 100


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake.

    :ivar file: the file, as it was named.
    :ivar line: its line, from 1; 0 if the file as a whole is meant.
    :ivar where: the key, dotted; empty if the file as a whole is meant.
    """

    file: str
    line: int
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.where + ': ' if self.where else ''}{self.message}"


@dataclass(slots=True)
class Mistakes:
    """Collects the mistakes of one file.

    :ivar found: up to 100 of them.
    """

    file: str
    lines: Lines
    found: list[Mistake] = field(default_factory=list)

    def add(self, place: KeyPath, message: str) -> None:
        """Note a mistake at ``place``."""
        if len(self.found) < _MOST:
            self.found.append(Mistake(self.file, self.lines.of(place) if place else 0, dotted(place), message))


def dotted(place: KeyPath) -> str:
    """A place as people write it: ``rules[2].when``."""
    text = ""
    for key in place:
        text += f"[{key}]" if isinstance(key, int) else (f".{key}" if text else key)
    return text


def shortened(value: object) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def near(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is unknown: the nearest ones, or all if none is near."""
    options = sorted(known)
    close = difflib.get_close_matches(word, options, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return (
        f"use one of {options}"
        if len(options) <= 20
        else f"there are {len(options)}, as 'hookframe policy schema' says"
    )
