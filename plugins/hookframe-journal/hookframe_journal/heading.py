"""The first record of a segment: who wrote it, with which versions, under which policy."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from importlib_metadata import PackageNotFoundError, version

from hookframe_journal.settings import JournalSettings
from hookframe_journal.values import body_of

__all__ = ["FORMAT", "MAC", "header_body"]

FORMAT = 1
"""The version of the format."""
MAC = "blake2b-256, key replaced by its sha-256"


def header_body(settings: JournalSettings, segment: str, sealed: str | None, link: Mapping[str, Any]) -> bytes:
    """The header of a segment.

    :param sealed: the first key, in a box for the operator; None without MACs.
    :param link: the segment that this one goes on from, or whose process was forked, if any.
    """
    facts: dict[str, Any] = {
        "kind": "header",
        "format": FORMAT,
        "segment": segment,
        "run": settings.run,
        "rank": settings.rank,
        "pid": os.getpid(),
        "time": settings.clock(),
        "versions": {
            "hookframe": _version("hookframe"),
            "python": platform.python_version(),
            "torch": _version("torch"),
        },
        "platform": platform.system(),
        "plugins": settings.plugins,
        "policy": settings.policy,
        **link,
    }
    if sealed is not None:
        facts["seal"] = {"scheme": MAC, "sealed": sealed, "sealed_to": settings.sealed_to}
    return body_of(facts)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
