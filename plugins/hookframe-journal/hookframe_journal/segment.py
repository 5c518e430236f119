"""One file of a journal, written by one process: lines are appended whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from hookframe.audit import SUFFIX
from hookframe_journal.chain import Chain
from hookframe_journal.values import Record

__all__ = ["Segment"]

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
for _flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY"):  # not every platform has each of them
    _FLAGS |= getattr(os, _flag, 0)
_MANY = 100_000  # so many values are remembered as written; then they are written again

_sync = getattr(os, "fdatasync", os.fsync)


class Segment:
    """An open file, and how far its chain has come.

    :param directory: where the file is made; it has to be there.
    :ivar name: the file's name without its suffix.
    :ivar broken: True if the file may not end in a whole line, or not hold what was synced; nothing more goes in.
    """

    def __init__(self, directory: Path, name: str, key: bytearray | None) -> None:
        self.name = name
        self.path = directory / (name + SUFFIX)
        self.broken = False
        self._chain = Chain(key=key)
        self._known: set[str] = set()
        self._size = 0
        self._file = os.open(self.path, _FLAGS, 0o600)
        with contextlib.suppress(OSError):  # not every platform and file system can sync a directory
            self._sync_directory(directory)

    @staticmethod
    def _sync_directory(directory: Path) -> None:
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    @property
    def number(self) -> int:
        """How many records there are."""
        return self._chain.number

    @property
    def head(self) -> str:
        """The link of the last record, in hexadecimal."""
        return self._chain.head.hex()

    def append(self, bodies: list[Record]) -> None:
        """Write records, each after those of its values that the segment does not have yet.

        :raises OSError: if that fails; nothing was added then, or the segment is :attr:`broken`.
        """
        chain, fresh = self._chain.copy(), set[str]()
        lines: list[bytes] = []
        for body, values in bodies:
            for value in values:
                if value.digest not in self._known and value.digest not in fresh:
                    fresh.add(value.digest)
                    lines.append(chain.line(value.body))
            lines.append(chain.line(body))
        self.broken = True  # should an interrupt come between the file's growing and the chain's going on
        self._write(b"".join(lines))
        self._chain.forget()
        self._chain = chain
        self.broken = False
        if len(self._known) > _MANY:
            self._known.clear()
        self._known |= fresh

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except BaseException:
            self._take_back()
            raise
        self._size += len(data)

    def _take_back(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)
            self.broken = False

    def sync(self) -> None:
        """Wait until all that was written is on the disk.

        :raises OSError: if it cannot be said that it is; the segment is :attr:`broken` then.
        """
        try:
            _sync(self._file)
        except OSError:
            self.broken = True  # the system may have dropped what it could not write: a second sync would lie
            raise

    def is_lost(self) -> bool:
        """True if the file is no longer where it was made."""
        try:
            there, own = self.path.stat(), os.fstat(self._file)
        except OSError:
            return True
        return (there.st_ino, there.st_dev) != (own.st_ino, own.st_dev)

    def close(self) -> None:
        """Close the file and forget the key. A second call does nothing."""
        self._chain.forget()
        if self._file >= 0:
            file, self._file = self._file, -1
            with contextlib.suppress(OSError):
                os.close(file)
