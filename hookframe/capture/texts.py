"""Files of texts, read a row at a time: lines of plain text, or JSON Lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hookframe.errors import CaptureInputError

__all__ = ["TextFile", "TextSurvey"]

_LONGEST = 1 << 20
_JSON = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, slots=True)
class TextSurvey:
    """What a file of texts holds.

    :ivar rows: how many texts.
    :ivar digest: of its bytes.
    """

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file with one text a line; blank lines are none. Nothing of it is kept in memory.

    :ivar path: names ending in ``.jsonl``, ``.ndjson`` and ``.json`` are JSON Lines: objects with the text in ``field``,
        or strings.
    :ivar field: the name of that field.
    """

    path: Path
    field: str = "text"

    def survey(self) -> TextSurvey:
        """Read the whole file once, check every line, and count.

        :raises CaptureInputError: if a line cannot be used; with its number.
        """
        digest = hashlib.sha256()
        rows = 0
        for number, line in self._lines():
            digest.update(line)
            rows += self._text(number, line) is not None
        if not rows:
            raise CaptureInputError(f"{str(self.path)!r} holds no text")
        return TextSurvey(rows, f"sha256:{digest.hexdigest()}")

    def rows(self, start: int = 0) -> Iterator[str]:
        """The texts from row ``start`` on.

        :raises CaptureInputError: if a line cannot be used; with its number.
        """
        texts = (text for number, line in self._lines() if (text := self._text(number, line)) is not None)
        return islice(texts, start, None)

    def batches(self, size: int, start: int = 0) -> Iterator[list[str]]:
        """The texts from row ``start`` on, ``size`` at a time; the last batch may be smaller."""
        rows = self.rows(start)
        while batch := list(islice(rows, size)):
            yield batch

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with self.path.open("rb") as file:
                number = 1
                while line := file.readline(_LONGEST + 1):
                    if len(line) > _LONGEST:
                        raise CaptureInputError(f"{str(self.path)!r}, line {number}: longer than {_LONGEST:,} bytes")
                    yield number, line
                    number += 1
        except OSError as error:
            raise CaptureInputError(f"{str(self.path)!r} cannot be read: {error.strerror}") from error

    def _text(self, number: int, line: bytes) -> str | None:
        """The text of one line; None for a blank one."""
        try:
            text = line.decode("utf-8")
            if not text.strip():
                return None
            if self.path.suffix not in _JSON:
                return text.rstrip("\r\n")
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CaptureInputError(f"{str(self.path)!r}, line {number}: {error}") from error
        found = value.get(self.field) if isinstance(value, dict) else value
        if not isinstance(found, str):
            raise CaptureInputError(
                f"{str(self.path)!r}, line {number}: no text in field {self.field!r}: each line is a string, or an object "
                "with one there"
            )
        return found
