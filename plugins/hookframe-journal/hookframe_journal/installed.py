"""The journal as it is installed: what the entry point names. It is idle until its options say where a journal is kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookframe.errors import JournalError
from hookframe.hookspecs import OBSERVERS, PREFIX, PluginConfig, hookimpl
from hookframe_journal.plugin import JournalPlugin
from hookframe_journal.sealing import key_library
from hookframe_journal.settings import new_run_id

if TYPE_CHECKING:
    import click

__all__ = ["OPTIONS", "RUN", "InstalledJournal"]

logger = logging.getLogger("hookframe.journal")

RUN = "HOOKFRAME_RUN"
"""The name of the run, which child processes inherit; written here, and by people who want one of their own."""
OPTIONS = ("directory", "required", "sealed_to", "anchor", "facts", "policy", "plugins", "facts_of")
"""What the plugin can be told. The policy's table ``journal`` says the first five, hookframe itself the others."""
_RANK_DIGITS = 6


class InstalledJournal:
    """Implements nothing while it is idle; with a directory, what a :class:`JournalPlugin` implements.

    :ivar journal: what records; None while it is idle.
    """

    def __init__(self) -> None:
        self.journal: JournalPlugin | None = None

    @hookimpl
    def hookframe_configure(self, config: PluginConfig) -> None:
        """Take the options; a journal that was kept until now is closed.

        :raises JournalError: if a journal is required, and cannot be kept.
        """
        self.close()
        self.journal = _journal_of(config.options)
        for name in (PREFIX + spec for spec in OBSERVERS):
            if self.journal is None:
                self.__dict__.pop(name, None)
            else:
                setattr(self, name, getattr(self.journal, name))

    @hookimpl
    def hookframe_add_commands(self, registry: click.Group) -> None:
        """Add the verb ``audit``."""
        from hookframe_journal.command import command

        registry.add_command(command)

    def close(self) -> None:
        """Write all that waits and the footer, if a journal is kept.

        :raises JournalError: if that fails.
        """
        if self.journal is not None:
            self.journal.close()


def _journal_of(options: Mapping[str, Any]) -> JournalPlugin | None:
    """The journal that these options ask for; None if they ask for none, or it cannot be kept and nobody requires it.

    :raises JournalError: if it is required, and cannot be kept; or if it has to be sealed, and PyNaCl is not installed.
    :raises ValueError: for an option that is unknown.
    """
    given = {name: value for name, value in options.items() if value is not None}
    unknown = sorted(given.keys() - set(OPTIONS))
    if unknown:
        raise ValueError(f"there is no option {unknown[0]!r}: they are {[*OPTIONS]}")
    if "sealed_to" in given:
        key_library()  # records without the MAC that is asked for are worse than none
    required = bool(given.pop("required", False))
    try:
        return _kept(given, required=required)
    except JournalError as error:
        message = f"no journal can be kept: {error}; repair the table journal of the policy"
        if required:
            raise JournalError(message) from error
        logger.error("%s", message)
        return None


def _kept(given: dict[str, Any], *, required: bool) -> JournalPlugin | None:
    if "directory" not in given:
        if required:
            raise JournalError("it is required, and nobody says its directory")
        return None
    directory = Path(given.pop("directory")).expanduser().absolute()
    unusable = _unusable(directory) if required else None
    if unusable is not None:
        raise JournalError(unusable)
    if "facts" in given:
        given["facts"] = tuple(given["facts"])
    run = os.environ.setdefault(RUN, new_run_id())
    return JournalPlugin(directory, required=required, run=run, rank=_rank(), **given)


def _unusable(directory: Path) -> str | None:
    """Why nothing can be written there, as far as that can be told without writing; None if it seems that it can be.

    What is let through is written a moment later; a place that cannot be used has to be refused before.
    """
    # os.path, which answers False where nothing may be seen
    there = next(place for place in (directory, *directory.parents) if os.path.exists(place))  # noqa: PTH110
    if not there.is_dir():
        return f"{str(there)!r} is no directory"
    return None if os.access(there, os.W_OK | os.X_OK) else f"{str(there)!r} cannot be written"


def _rank() -> int | None:
    rank = os.environ.get("RANK", "")
    return int(rank) if rank.isascii() and rank.isdigit() and len(rank) <= _RANK_DIGITS else None
