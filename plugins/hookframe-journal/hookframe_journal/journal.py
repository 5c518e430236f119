"""The journal of one process: records wait for a moment, and are then written to a segment of this process's own."""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hookframe.errors import JournalError
from hookframe_journal.anchor import Anchor, write_anchor
from hookframe_journal.flusher import Flusher
from hookframe_journal.heading import header_body
from hookframe_journal.sealing import sealed_key
from hookframe_journal.segment import Segment
from hookframe_journal.settings import JournalSettings
from hookframe_journal.values import Record, body_of

__all__ = ["Journal"]

logger = logging.getLogger("hookframe.journal")

_KEPT = 10_000  # so many records wait while the journal cannot be written; what comes then is counted
_Waiting = list[Record | Callable[[], Record]]


class Journal:
    """Writes records. The segment is made when the first one is written; a forked child makes one of its own.

    While it cannot be written, records wait, up to a limit; what goes beyond it is counted, and the count is written down
    once that works again.

    :ivar failure: why the journal cannot be written now; None if nothing is known to be wrong.
    :ivar failures: how often writing failed.
    :ivar lost: how many records were given up in this process.
    """

    def __init__(self, settings: JournalSettings) -> None:
        self.settings = settings
        self.failure: JournalError | None = None
        self.failures = 0
        self.lost = 0
        self._link: dict[str, Any] = {}
        self._opened = False
        self._closed = False
        self._begin()
        atexit.register(self._at_exit)
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            own = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _forked(own))

    def _begin(self) -> None:
        """A state in which nothing waits and nothing is open, in this process."""
        self._pid = os.getpid()
        self._segment: Segment | None = None
        self._waiting: _Waiting = []
        self._unwritten = 0
        self._ends_well = False
        self._opening = False
        self._unsynced = False
        self._unanchored = False
        self._writing = False
        self._lock = threading.RLock()  # what waits
        self._io = threading.RLock()  # the file; taken before the other
        self._flusher = Flusher(self._flush_late, self.settings.flush_seconds)

    @property
    def segment(self) -> Segment | None:
        """The segment that is written to; None before the first record."""
        return self._segment

    def open(self) -> None:
        """Make the segment now, with its header, to find out whether that can be done.

        :raises JournalError: if it cannot.
        """
        self._opening = self._segment is None
        self.flush()

    def write(self, record: Record | Callable[[], Record], *, durable: bool = False) -> None:
        """Write a record soon, or at once.

        :param record: its body, and the values that it refers to; or what makes them, called when it is written, so that
            whoever records does not wait for it. A record that cannot be made then counts as lost.
        :param durable: return only when it is on the disk, with all before it.
        :raises JournalError: if it had to be written now and could not be. It waits then, as others do.
        """
        if os.getpid() != self._pid:
            self._fork()  # by a way that Python did not see
        if not self._ends_well:
            self._end_well()
        if durable and len(self._waiting) >= _KEPT:
            self._make_room()
        with self._lock:
            if self._closed:
                raise JournalError("the journal is closed: nothing can be recorded in it any more")
            if len(self._waiting) < _KEPT:
                self._waiting.append(record)
            else:
                self._give_up()
            full = len(self._waiting) >= self.settings.flush_records and self.failure is None
        if durable or full:
            self.flush(durable=durable)
        elif not self._flusher.wake():
            self.flush()

    def _make_room(self) -> None:
        """Write what waits, so that one more has its place; without it, that one is given up here."""
        try:
            self.flush()
        except JournalError:
            with self._lock:
                self._give_up()
            raise

    def _give_up(self) -> None:
        self.lost += 1
        self._unwritten += 1

    def _end_well(self) -> None:
        """Close the journal also where Python's own exit functions are not called: in a child of multiprocessing."""
        self._ends_well = True
        util = sys.modules.get("multiprocessing.util")
        if util is not None and sys.modules["multiprocessing"].parent_process() is not None:
            util.Finalize(self, self._at_exit, exitpriority=0)

    def flush(self, *, durable: bool = True) -> None:
        """Write all that waits.

        :param durable: wait until it is on the disk.
        :raises JournalError: if that fails. What could not be written goes on waiting.
        """
        with self._io:
            if self._writing:
                raise JournalError(
                    "the journal is being written: what a signal handler records waits for the next time"
                )
            self._writing = True
            try:
                self._write_out(durable)
            except (OSError, JournalError) as error:
                raise self.failed(error) from error
            finally:
                self._writing = False
            if self.failure is not None:
                logger.warning("the journal in '%s' is written again", self.settings.directory)
                self.failure = None
        if self._unsynced:
            self._flusher.wake()

    def _write_out(self, durable: bool) -> None:
        with self._lock:
            asked, self._waiting = self._waiting, []
            unwritten, self._unwritten = self._unwritten, 0
        waiting = self._made(asked)
        unwritten += len(asked) - len(waiting)
        written = waiting
        if unwritten:
            written = [*waiting, (body_of({"kind": "lost", "time": self.settings.clock(), "records": unwritten}), ())]
        try:
            if written or self._opening:
                self._usable_segment().append(written)
                self._opening, self._unsynced = False, True
            if durable and self._unsynced and self._segment is not None:
                self._segment.sync()
                self._unsynced, self._unanchored = False, self.settings.anchor is not None
        except BaseException:
            with self._lock:
                self._waiting[:0] = waiting
                self._unwritten += unwritten
            raise
        if durable and self._unanchored and self._segment is not None:
            self._anchor(self._segment, self.settings.anchor)

    def _made(self, waiting: _Waiting) -> list[Record]:
        """The records that can be made; others are lost."""
        made: list[Record] = []
        for record in waiting:
            try:
                made.append(record() if callable(record) else record)
            except Exception as error:  # noqa: BLE001  # a value that cannot be described: counted, and logged
                self.failed(error)
                self.lost += 1
        return made

    def _anchor(self, segment: Segment, file: Path | None) -> None:
        if file is not None:
            now = self.settings.clock()
            write_anchor(file, Anchor(segment=segment.name, number=segment.number - 1, chain=segment.head, time=now))
        self._unanchored = False

    def _usable_segment(self) -> Segment:
        segment = self._segment
        if segment is not None:
            lost = segment.is_lost()
            if not lost and not segment.broken:
                return segment
            why = "its file is no longer there" if lost else "its file could not be written"
            logger.error("segment '%s' of the journal is given up: %s", segment.path, why)
            self._link = {"previous": {"segment": segment.name, "records": segment.number, "chain": segment.head}}
            self._link["previous"]["why"] = why
            segment.close()
            self._segment = None
        self._segment = self._new_segment()
        return self._segment

    def _new_segment(self) -> Segment:
        settings = self.settings
        if not self._opened:
            settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key, sealed = (None, None) if settings.sealed_to is None else sealed_key(settings.sealed_to)
        name = f"{settings.run}-{secrets.token_hex(4)}"
        segment = Segment(settings.directory, name, key)
        try:
            segment.append([(header_body(settings, name, sealed, self._link), ())])
        except BaseException:
            segment.close()
            segment.path.unlink(missing_ok=True)
            raise
        self._opened = True
        return segment

    def failed(self, error: Exception) -> JournalError:
        """Count a failure, log it if it is a new one, and say it as an error."""
        self.failures += 1
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        failure = JournalError(f"the journal in {str(self.settings.directory)!r} cannot be written: {reason}")
        if self.failure is None:
            logger.error("%s", failure)
        self.failure = failure
        return failure

    def _flush_late(self) -> bool:
        """What the thread does; True if it has to come again."""
        try:
            self.flush()
        except JournalError:
            return True  # it is known, and logged
        except Exception as error:  # noqa: BLE001  # whatever it is, the thread has to come again
            self.failed(error)
            return True
        return False

    def _fork(self) -> None:
        """Leave what the parent process has to the parent, which writes it."""
        parent, self._segment = self._segment, None
        if parent is not None:
            self._link = {"parent": parent.name}
            parent.close()
        self.failure, self.lost = None, 0
        self._begin()

    def close(self) -> None:
        """Write all that waits and the footer. A second call does nothing.

        :raises JournalError: if that fails; the journal is closed all the same.
        """
        with self._io:
            if self._closed:
                return
            self._closed = True
            self._opening = False
            try:
                self.flush()
                if self._segment is not None:
                    records = self._segment.number + 1
                    footer = {"kind": "footer", "time": self.settings.clock(), "records": records, "lost": self.lost}
                    self._waiting.append((body_of(footer), ()))
                    self.flush()
            finally:
                self._flusher.stop()
                atexit.unregister(self._at_exit)
                if self._segment is not None:
                    self._segment.close()

    def _at_exit(self) -> None:
        try:
            self.close()
        except JournalError:
            logger.error("the journal in '%s' ends without what could not be written", self.settings.directory)


def _forked(reference: weakref.ref[Journal]) -> None:
    journal = reference()
    if journal is not None:
        journal._fork()
