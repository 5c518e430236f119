"""The lines of a segment, read so that no file can do harm: one after the other, with bounds on length and depth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecoder
from pathlib import Path
from typing import Any, NoReturn

from hookframe.errors import InvalidJournal

__all__ = ["LONGEST_LINE", "SUFFIX", "Line", "Links", "line_of", "lines_of", "segments_in", "split_line"]

SUFFIX = ".jsonl"
"""What the name of a segment ends in."""
LONGEST_LINE = 64 * 2**20
"""The longest line that is read, in bytes."""
_DEEPEST = 12
_TAIL = re.compile(rb',"chain":"([0-9a-f]{64})"(?:,"mac":"([0-9a-f]{64})")?\}\Z')


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key stands twice")
    return data


_decode = JSONDecoder(object_pairs_hook=_no_twins, parse_constant=_no_constant).decode


@dataclass(frozen=True, slots=True)
class Links:
    """A line taken apart.

    :ivar text: what the link is about: the line up to it.
    """

    text: bytes
    chain: bytes
    mac: bytes | None


def split_line(line: bytes) -> Links | None:
    """Take a line apart, without its end; None if it does not end in a link."""
    found = _TAIL.search(line, max(0, len(line) - 160))
    if found is None:
        return None
    mac = found[2]
    return Links(line[: found.start()], bytes.fromhex(found[1].decode()), bytes.fromhex(mac.decode()) if mac else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line.

    :ivar place: its place in the file, from 1.
    :ivar links: its links and what they are about; None if it does not end in a link.
    :ivar data: what it says; empty if that is no JSON object.
    :ivar problem: why it cannot be used, None if it can.
    :ivar whole: False if the file ends within the line.
    """

    place: int
    links: Links | None
    data: dict[str, Any]
    problem: str | None = None
    whole: bool = True

    @property
    def number(self) -> int | None:
        """The record's number."""
        number = self.data.get("n")
        return number if type(number) is int and 0 <= number < 2**63 else None

    @property
    def kind(self) -> str:
        """The kind of record; empty if the line does not say."""
        kind = self.data.get("kind")
        return kind if isinstance(kind, str) else ""


def segments_in(path: Path) -> tuple[Path, ...]:
    """The segments of a journal, sorted by name: those in a directory, or the one file.

    :raises InvalidJournal: if there are none.
    """
    found = sorted(path.glob("*" + SUFFIX)) if path.is_dir() else [path]
    if not found:
        raise InvalidJournal(f"journal {str(path)!r} has no segments: they are files that end in {SUFFIX!r}")
    return tuple(found)


def lines_of(file: Path) -> Iterator[Line]:
    """Each line of ``file``, usable or not.

    :raises InvalidJournal: if the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            place = 0
            while text := stream.readline(LONGEST_LINE):
                place += 1
                if not text.endswith(b"\n") and len(text) >= LONGEST_LINE:
                    _skip_rest(stream)
                    yield Line(place=place, links=None, data={}, problem="it is too long")
                else:
                    yield line_of(place, text)
    except OSError as error:
        raise InvalidJournal(f"segment {str(file)!r} cannot be read: {error.strerror}") from error


def _skip_rest(stream: Any) -> None:
    while (more := stream.readline(2**20)) and not more.endswith(b"\n"):
        pass


def line_of(place: int, text: bytes) -> Line:
    """The line with this text, which ends in a newline unless the file ends before."""
    whole = text.endswith(b"\n")
    text = text.removesuffix(b"\n")
    data, problem = _object(text)
    links = split_line(text)
    if problem is None and links is None:
        problem = "it does not end in its link to the record before it"
    return Line(place=place, links=links, data=data, problem=problem, whole=whole)


def _object(text: bytes) -> tuple[dict[str, Any], str | None]:
    try:
        data = _decode(text.decode())
    except (ValueError, RecursionError) as error:
        return {}, f"it is no JSON: {error}"
    if not isinstance(data, dict):
        return {}, "it is no JSON object"
    if _is_deep(data):
        return {}, f"it is nested deeper than {_DEEPEST} levels"
    return data, None


def _is_deep(data: object) -> bool:
    level: list[object] = [data]
    for _ in range(_DEEPEST):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)  # type: ignore[attr-defined]  # a list
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True
