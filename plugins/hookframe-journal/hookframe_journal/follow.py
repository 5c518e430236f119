"""Reading a journal while it is written: each call gives what has come since the last one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hookframe.audit import Entry, Problem, SegmentReader, line_of, segments_in
from hookframe.errors import InvalidJournal

__all__ = ["JournalFollower"]

_MOST = 64 * 2**20  # bytes of one segment that are read at once


@dataclass(slots=True)
class _Place:
    reader: SegmentReader
    offset: int = 0
    line: int = 0


class JournalFollower:
    """Remembers how far each segment was read; segments that appear are followed from their beginning.

    :param path: a directory with segments, or one of them.
    :ivar problems: the lines that could not be used.
    """

    def __init__(self, path: Path) -> None:
        self.problems: list[Problem] = []
        self._path = path
        self._places: dict[Path, _Place] = {}

    def new_entries(self) -> Iterator[Entry]:
        """What whole lines have come.

        :raises InvalidJournal: if there is no segment, or one cannot be read.
        """
        for file in segments_in(self._path):
            place = self._places.setdefault(file, _Place(SegmentReader(file.stem)))
            for text in self._new_lines(file, place):
                place.line += 1
                entry = place.reader.entry(line_of(place.line, text), self.problems)
                if entry is not None:
                    yield entry

    @staticmethod
    def _new_lines(file: Path, place: _Place) -> list[bytes]:
        try:
            with file.open("rb") as stream:
                stream.seek(place.offset)
                data = stream.read(_MOST)
        except OSError as error:
            raise InvalidJournal(f"segment {str(file)!r} cannot be read: {error.strerror}") from error
        end = data.rfind(b"\n") + 1
        if not end and len(data) == _MOST:
            end = len(data)  # a line longer than any journal has: given up piece by piece
        place.offset += end
        return [text + b"\n" for text in data[:end].removesuffix(b"\n").split(b"\n")] if end else []
