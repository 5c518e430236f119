"""Child processes: one that uses a hook loads the same plugins and policy, and notices if it could not.

The process's default manager announces what is at work, through an environment variable that children inherit.
A forked child has the manager itself. A spawned one loads anew, and compares.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass

from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.host.running.manager import PluginManager

__all__ = ["VARIABLE", "Announcement", "compare_and_announce", "digest_of"]

logger = logging.getLogger("hookframe.plugins")

VARIABLE = "HOOKFRAME_PARENT_PLUGINS"
"""``PID:DIGEST:RULED``: what a parent process announced; written by hookframe, not by people."""


def digest_of(records: Iterable[PluginRecord], policy: str = "") -> str:
    """A digest of the plugins at work (names, versions and entry points) and of the policy, given by its own digest."""
    at_work = (PluginState.LOADED, PluginState.TRIPPED)
    lines = sorted(f"{r.name} {r.version} {r.entry_point}" for r in records if r.state in at_work)
    return hashlib.sha256("\n".join([*lines, policy]).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a process says of its plugins.

    :ivar ruled: True if rules are in force there that a child may not escape.
    """

    pid: int
    digest: str
    ruled: bool

    @classmethod
    def read(cls, text: str | None) -> Announcement | None:
        """The announcement in ``text``; None if ``text`` is None or is no announcement."""
        pid, _, rest = (text or "").partition(":")
        digest, _, ruled = rest.partition(":")
        if not pid.isdigit() or len(digest) != 64 or ruled not in ("0", "1"):
            return None
        return cls(pid=int(pid), digest=digest, ruled=ruled == "1")

    def __str__(self) -> str:
        return f"{self.pid}:{self.digest}:{int(self.ruled)}"


def compare_and_announce(
    manager: PluginManager,
    *,
    policy: str = "",
    ruled: bool,
    environment: MutableMapping[str, str] | None = None,
) -> None:
    """Compare what is at work in this process with what its parent announced, and announce it to children.

    :param policy: the digest of the policy in force.
    :param ruled: True to refuse everything after a difference; the parent may demand that as well.
    """
    environment = os.environ if environment is None else environment
    own = Announcement(pid=os.getpid(), digest=digest_of(manager.records, policy), ruled=ruled)
    parent = Announcement.read(environment.get(VARIABLE))
    if parent is not None and parent.pid != own.pid and parent.digest != own.digest:
        logger.warning(
            "this process has other plugins or another policy at work than process %d, which started it", parent.pid
        )
        if parent.ruled or own.ruled:
            manager.refuse(_difference(parent))
    environment[VARIABLE] = str(own)


def _difference(parent: Announcement) -> PluginRecord:
    return PluginRecord(
        name="the parent's plugins",
        state=PluginState.MISSING,
        reason=f"this process has other plugins or another policy at work than process {parent.pid}, which started it",
        step="inheritance",
        repair="start the process with the same environment, path, HOOKFRAME_PLUGINS and policy files as its parent",
    )
