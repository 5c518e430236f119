"""How a journal is kept, as a value."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hookframe.errors import JournalError
from hookframe_journal.facts import USUAL_FACTS

__all__ = ["JournalSettings", "new_run_id"]

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


def new_run_id() -> str:
    """A name for one run, that sorts by time: ``20260131T235959Z-4f1d2c3b``."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """How a journal is kept.

    :ivar directory: where the segments go; made if it is not there, for its owner alone.
    :ivar run: the run's name, equal in all its processes: letters, digits, ``.``, ``_`` and ``-``.
    :ivar rank: which process of a distributed run this is, None if it is not one.
    :ivar policy: the digest of the policy in force.
    :ivar plugins: the digest of the plugins at work.
    :ivar sealed_to: the operator's public key, in base64; with it every record has a forward-secure MAC.
    :ivar anchor: a file elsewhere, to which the head of the chain is written at each sync.
    :ivar flush_records: so many records wait at most before they are written.
    :ivar flush_seconds: so long a record waits at most before it is on the disk, in seconds.
    :ivar facts: patterns of the facts that may be written down.
    :ivar clock: gives the time in seconds since 1970.
    :raises JournalError: if the name of the run, a limit or a rank cannot be used.
    """

    directory: Path
    run: str = field(default_factory=new_run_id)
    rank: int | None = None
    policy: str | None = None
    plugins: str | None = None
    sealed_to: str | None = None
    anchor: Path | None = None
    flush_records: int = 256
    flush_seconds: float = 1.0
    facts: tuple[str, ...] = USUAL_FACTS
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if not _RUN_ID.match(self.run):
            raise JournalError(
                f"run {self.run!r} is no name for a run: use up to 100 letters, digits, '.', '_' and '-'"
            )
        if self.flush_records < 1 or not (self.flush_seconds > 0 and math.isfinite(self.flush_seconds)):
            raise JournalError(
                f"flush limits {self.flush_records!r} records and {self.flush_seconds!r} s: at least 1 record, and more than 0 s"
            )
        if self.rank is not None and self.rank < 0:
            raise JournalError(f"rank {self.rank!r}: a rank counts from 0, or is None")
