"""The journal that a policy asks for: the options of the plugin that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookframe.policy.in_force.policy import Policy

__all__ = ["JOURNAL", "journal_options"]

JOURNAL = "hookframe-journal"
"""The distribution whose plugin keeps the journal."""


def journal_options(policy: Policy) -> Mapping[str, Any]:
    """What ``policy`` says of the journal, as options for the plugin."""
    return {
        "directory": _path(policy, "journal.directory"),
        "anchor": _path(policy, "journal.anchor"),
        "required": bool(policy.value("journal.required", False)),
        "sealed_to": policy.value("journal.sealed_to"),
        "facts": policy.value("journal.facts"),
        "policy": policy.digest,
    }


def _path(policy: Policy, name: str) -> Path | None:
    """A path that the policy names; a relative one lies beside the file that names it."""
    found = policy.values.get(name)
    return None if found is None else Path(found.origin.file).resolve().parent / Path(found.value).expanduser()
