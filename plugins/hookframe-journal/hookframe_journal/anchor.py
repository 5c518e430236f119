"""The head of a chain, written somewhere else: what is there cannot be taken from the journal without a trace."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from json import dumps, loads
from pathlib import Path

from hookframe.errors import InvalidJournal

__all__ = ["Anchor", "read_anchors", "write_anchor"]

_LONGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """How far a segment had come once.

    :ivar segment: its name.
    :ivar number: the number of its last record then.
    :ivar chain: the link of that record, in hexadecimal.
    :ivar time: when, in seconds since 1970.
    """

    segment: str
    number: int
    chain: str
    time: float


def write_anchor(file: Path, anchor: Anchor) -> None:
    """Append one line to ``file``, and wait until it is on the disk. Several processes may share the file.

    :raises OSError: if that fails.
    """
    line = dumps(asdict(anchor), separators=(",", ":")).encode() + b"\n"
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        size = os.fstat(handle).st_size
        written = os.write(handle, line)
        if written != len(line):
            if os.fstat(handle).st_size == size + written:  # nobody else has gone on from there
                os.ftruncate(handle, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    finally:
        os.close(handle)


def read_anchors(file: Path) -> tuple[Anchor, ...]:
    """The anchors in ``file``, in order.

    :raises InvalidJournal: if it cannot be read, or a line is no anchor.
    """
    try:
        with file.open("rb") as lines:
            return tuple(_anchors(file, lines))
    except OSError as error:
        raise InvalidJournal(f"anchors {str(file)!r} cannot be read: {error.strerror}") from error


def _anchors(file: Path, lines: Iterator[bytes]) -> Iterator[Anchor]:
    number = 0
    while line := lines.readline(_LONGEST):  # type: ignore[attr-defined]  # a file that is open for reading
        number += 1
        anchor = _anchor(line)
        if anchor is None:
            raise InvalidJournal(f"anchors {str(file)!r}: line {number} is no anchor")
        yield anchor


def _anchor(line: bytes) -> Anchor | None:
    try:
        data = loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or set(data) != {"segment", "number", "chain", "time"}:
        return None
    kinds = {"segment": str, "number": int, "chain": str, "time": (int, float)}
    if any(not isinstance(data[key], kind) or isinstance(data[key], bool) for key, kind in kinds.items()):  # type: ignore[arg-type]  # types, and tuples of types
        return None
    return Anchor(**data)
