"""The keys of a segment's records, derived from the first one."""

from __future__ import annotations

from hashlib import sha256

__all__ = ["KeySequence"]

_STEP = 1024
_FARTHEST = 10_000_000


class KeySequence:
    """Gives the key of any record; each is the SHA-256 of the one before it.

    :param first: the key of record 0.
    """

    def __init__(self, first: bytes) -> None:
        self._marks = [first]  # the keys of records 0, 1024, 2048, …
        self._number, self._key = 0, first

    def at(self, number: int) -> bytes | None:
        """The key of a record; None for one so far ahead that no journal has it."""
        if number < self._number:
            mark = number // _STEP
            self._number, self._key = mark * _STEP, self._marks[mark]
        if number - self._number > _FARTHEST:
            return None
        while self._number < number:
            self._key = sha256(self._key).digest()
            self._number += 1
            if self._number % _STEP == 0 and self._number // _STEP == len(self._marks):
                self._marks.append(self._key)
        return self._key
