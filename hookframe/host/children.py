"""Child processes: one that uses a hook loads the same plugins, and notices if it could not.

The process's default manager announces which plugins are at work, through an environment variable that children inherit.
A forked child has the manager itself. A spawned one loads anew, and compares.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass

from hookframe.host.manager import PluginManager
from hookframe.host.record import PluginRecord, PluginState
from hookframe.host.rules import LoadingRules

__all__ = ["VARIABLE", "Announcement", "default_manager", "digest_of"]

logger = logging.getLogger("hookframe.plugins")

VARIABLE = "HOOKFRAME_PARENT_PLUGINS"
"""``PID:DIGEST:RULED``: what a parent process announced; written by hookframe, not by people."""


def digest_of(records: Iterable[PluginRecord]) -> str:
    """A digest of the plugins at work: names, versions and entry points."""
    at_work = (PluginState.LOADED, PluginState.TRIPPED)
    lines = sorted(f"{r.name} {r.version} {r.entry_point}" for r in records if r.state in at_work)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a process says of its plugins.

    :ivar ruled: True if rules for loading are in force there.
    """

    pid: int
    digest: str
    ruled: bool

    @classmethod
    def read(cls, text: str | None) -> Announcement | None:
        """The announcement in ``text``; None if there is none, or it is none."""
        pid, _, rest = (text or "").partition(":")
        digest, _, ruled = rest.partition(":")
        if not pid.isdigit() or len(digest) != 64 or ruled not in ("0", "1"):
            return None
        return cls(pid=int(pid), digest=digest, ruled=ruled == "1")

    def __str__(self) -> str:
        return f"{self.pid}:{self.digest}:{int(self.ruled)}"


def default_manager(
    rules: LoadingRules | None = None, environment: MutableMapping[str, str] | None = None
) -> PluginManager:
    """The installed plugins, compared with those of the parent process, and announced to children.

    A difference is logged; where rules for loading are in force, here or in the parent, it refuses everything.
    """
    environment = os.environ if environment is None else environment
    manager = PluginManager.installed(rules=rules)
    own = Announcement(pid=os.getpid(), digest=digest_of(manager.records), ruled=rules is not None)
    parent = Announcement.read(environment.get(VARIABLE))
    if parent is not None and parent.pid != own.pid and parent.digest != own.digest:
        logger.warning("this process has other plugins at work than process %d, which started it", parent.pid)
        if parent.ruled or own.ruled:
            manager.refuse(_difference(parent))
    environment[VARIABLE] = str(own)
    return manager


def _difference(parent: Announcement) -> PluginRecord:
    return PluginRecord(
        name="the parent's plugins",
        state=PluginState.MISSING,
        reason=f"this process has other plugins at work than process {parent.pid}, which started it",
        step="inheritance",
        repair="start the process with the same environment, path and HOOKFRAME_PLUGINS as its parent",
    )
