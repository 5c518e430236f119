"""Where a distribution was installed from, as its ``direct_url.json`` says (PEP 610)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["InstallOrigin", "OriginKind"]


class OriginKind(StrEnum):
    """The ways a distribution can come."""

    INDEX = "index"
    """By name, from a package index; installers write no ``direct_url.json`` then."""
    EDITABLE = "editable"
    """From a directory that it still runs from."""
    LOCAL = "local"
    """From a directory or a file on this machine."""
    ARCHIVE = "archive"
    """From an archive at a URL."""
    VCS = "vcs"
    """From a version control system."""
    UNKNOWN = "unknown"
    """It cannot be told."""


@dataclass(frozen=True, slots=True)
class InstallOrigin:
    """Where one distribution came from.

    :ivar url: the directory, archive or repository; None for an index.
    :ivar commit: the commit, for version control.
    """

    kind: OriginKind
    url: str | None = None
    commit: str | None = None

    @classmethod
    def of(cls, direct_url: str | None) -> InstallOrigin:
        """Read the text of a ``direct_url.json``; None means that there is no such file."""
        if direct_url is None:
            return cls(OriginKind.INDEX)
        try:
            facts = json.loads(direct_url)
        except (ValueError, RecursionError):
            return cls(OriginKind.UNKNOWN)
        if not isinstance(facts, dict) or not isinstance(facts.get("url"), str):
            return cls(OriginKind.UNKNOWN)
        vcs = _table(facts, "vcs_info")
        commit = vcs.get("commit_id") if vcs else None
        return cls(_kind(facts), facts["url"], commit if isinstance(commit, str) else None)

    def __str__(self) -> str:
        parts = [str(self.kind), self.url or "", f"at {self.commit}" if self.commit else ""]
        return " ".join(filter(None, parts))


def _kind(facts: dict[str, Any]) -> OriginKind:
    if _table(facts, "dir_info").get("editable") is True:
        return OriginKind.EDITABLE
    if "vcs_info" in facts:
        return OriginKind.VCS
    if facts["url"].startswith("file:"):
        return OriginKind.LOCAL
    return OriginKind.ARCHIVE if "archive_info" in facts else OriginKind.UNKNOWN


def _table(facts: dict[str, Any], key: str) -> dict[str, Any]:
    value = facts.get(key)
    return value if isinstance(value, dict) else {}
