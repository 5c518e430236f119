"""The journal that a policy asks for."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hookframe.admission.decision import Decision
from hookframe.audit.plugin import JournalPlugin
from hookframe.audit.settings import new_run_id
from hookframe.errors import JournalError
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.in_force.refusals import Refusal

__all__ = ["RUN", "PolicyJournal", "journal_of"]

logger = logging.getLogger("hookframe.policy")

RUN = "HOOKFRAME_RUN"
"""The name of the run, which child processes inherit; written by hookframe, and by people who want one of their own."""
_RANK_DIGITS = 6

FactsOf: TypeAlias = Callable[[Decision], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyJournal:
    """What becomes of a policy's wish for a journal.

    :ivar directory: where it is kept; None if there is none.
    :ivar plugin: makes the plugin that keeps it, given what knows the facts of decisions; None if there is none.
    :ivar refusals: why everything is refused, if it is required and cannot be kept.
    """

    directory: Path | None = None
    plugin: Callable[[FactsOf], JournalPlugin] | None = None
    refusals: tuple[Refusal, ...] = ()


def journal_of(policy: Policy, plugins: str) -> PolicyJournal:
    """The journal that ``policy`` asks for.

    :param plugins: the digest of the plugins at work.
    """
    required = bool(policy.value("journal.required", False))
    directory = _path(policy, "journal.directory")
    if directory is None:
        return _impossible(policy, "no layer says journal.directory") if required else PolicyJournal()
    unusable = _unusable(directory)
    if unusable is not None and required:
        return _impossible(policy, unusable)
    settings = {
        "run": os.environ.setdefault(RUN, new_run_id()),
        "rank": _rank(),
        "policy": policy.digest,
        "plugins": plugins,
        "sealed_to": policy.value("journal.sealed_to"),
        "anchor": _path(policy, "journal.anchor"),
    }
    allowed = policy.value("journal.facts")
    if allowed is not None:
        settings["facts"] = tuple(allowed)

    def make(facts_of: FactsOf) -> JournalPlugin:
        return JournalPlugin(directory, required=required, urgent=_is_excepted, facts_of=facts_of, **settings)

    try:
        make(_nothing).close()  # settings that cannot be used are found here, and nothing is written
    except JournalError as error:
        if required:
            return _impossible(policy, str(error))
        logger.error("no journal is kept: %s", error)
        return PolicyJournal()
    return PolicyJournal(directory=directory, plugin=make)


def _impossible(policy: Policy, why: str) -> PolicyJournal:
    refusal = Refusal(
        rule="audit-required",
        message=f"the policy requires a journal, and none can be kept: {why}",
        remedy="repair the table journal of the policy",
        origin=str(policy.values["journal.required"].origin),
    )
    return PolicyJournal(refusals=(refusal,))


def _unusable(directory: Path) -> str | None:
    """Why nothing can be written there, as far as that can be told without writing; None if it seems that it can be.

    What is let through is written a moment later; a place that cannot be used has to be refused before.
    """
    # os.path, which answers False where nothing may be seen
    there = next(place for place in (directory, *directory.parents) if os.path.exists(place))  # noqa: PTH110
    if not there.is_dir():
        return f"{str(there)!r} is no directory"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{str(there)!r} cannot be written"


def _is_excepted(decision: Decision) -> bool:
    """True for what an exception lets through: it is on the disk before it happens, as a refusal is."""
    return any(objection.exception for objection in decision.objections)


def _nothing(decision: Decision) -> None:
    """Stands for what knows the facts, while the settings are tried."""


def _path(policy: Policy, name: str) -> Path | None:
    """A path that the policy names; a relative one lies beside the file that names it."""
    found = policy.values.get(name)
    return None if found is None else Path(found.origin.file).resolve().parent / Path(found.value).expanduser()


def _rank() -> int | None:
    rank = os.environ.get("RANK", "")
    return int(rank) if rank.isascii() and rank.isdigit() and len(rank) <= _RANK_DIGITS else None
