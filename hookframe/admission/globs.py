"""Globs on dotted names: ``blocks.*.attn.hook_?``, ``**.hook_result``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

__all__ = ["Glob", "matches_any"]

_ANY = "**"
_WILD = frozenset("*?[")
_REMEMBERED = 4096


class Glob:
    """A pattern on names with dots: each part matches one part of a name, and ``**`` any number of them.

    Within a part, ``*`` stands for any characters, ``?`` for one, ``[abc]`` for one of these, and ``[!abc]`` for one
    not of these. Matching takes time in proportion to the pattern's length times the name's, whatever they are.

    :ivar pattern: as it was written.
    """

    __slots__ = ("_known", "_parts", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._parts = [_compiled(part) for part in pattern.split(".")]
        self._known: dict[str, bool] = {}

    def matches(self, name: str) -> bool:
        """True if the whole of ``name`` fits."""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[name] = self._fits(name.split("."))
        return known

    def _fits(self, parts: list[str]) -> bool:
        """Walk both; on a mismatch let the last ``**`` swallow one part more."""
        pattern = self._parts
        at = place = 0
        resume: tuple[int, int] | None = None
        while place < len(parts):
            if at < len(pattern) and pattern[at] == _ANY:
                resume = (at, place)
                at += 1
            elif at < len(pattern) and _is_like(parts[place], pattern[at]):
                at, place = at + 1, place + 1
            elif resume is not None:
                resume = (resume[0], resume[1] + 1)
                at, place = resume[0] + 1, resume[1]
            else:
                return False
        return all(part == _ANY for part in pattern[at:])

    def __reduce__(self) -> tuple[type[Glob], tuple[str]]:
        return type(self), (self.pattern,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Glob) and other.pattern == self.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __repr__(self) -> str:
        return f"Glob({self.pattern!r})"


_glob = lru_cache(maxsize=_REMEMBERED)(Glob)


def matches_any(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """True if one of the names fits one of the patterns."""
    globs = [*map(_glob, patterns)]
    return any(glob.matches(name) for name in names for glob in globs)


def _compiled(part: str) -> str | re.Pattern[str]:
    """One part of a pattern; most of them are plain words."""
    return re.compile(translate(part)) if part != _ANY and not _WILD.isdisjoint(part) else part


def _is_like(word: str, part: str | re.Pattern[str]) -> bool:
    return word == part if isinstance(part, str) else part.match(word) is not None
