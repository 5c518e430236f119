"""The plugin: what hookframe calls. Everything is passed on to the event log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hookframe import hookimpl
from hookframe_log.event_log import EventLog
from hookframe_log.options import LogOptions

if TYPE_CHECKING:
    from hookframe import Decision
    from hookframe.admission import events
    from hookframe.hookspecs import PluginConfig

__all__ = ["LogPlugin", "plugin"]


class LogPlugin:
    """Logs every event. Make an instance for each plugin manager; :data:`plugin` is the entry point's."""

    __name__ = "hookframe-log"  # so that options find it under the distribution's name when it is registered by hand

    def __init__(self) -> None:
        self._log = EventLog(LogOptions())

    def close(self) -> None:
        """Close the file, if there is one."""
        self._log.close()

    @hookimpl
    def hookframe_configure(self, config: PluginConfig) -> None:
        """Take the options, or what the environment says instead; a file that was open is closed."""
        log = EventLog(LogOptions.read(config.options, os.environ))
        self._log.close()
        self._log = log

    @hookimpl
    def hookframe_decision_made(self, decision: Decision) -> None:
        """Log a decision, with its objections."""
        self._log.write(decision)

    @hookimpl
    def hookframe_hooks_added(self, event: events.HooksAdded) -> None:
        """Log which hooks were attached."""
        self._log.write(event)

    @hookimpl
    def hookframe_hooks_removed(self, event: events.HooksRemoved) -> None:
        """Log which hooks were removed."""
        self._log.write(event)

    @hookimpl
    def hookframe_hooks_reset(self, event: events.HooksReset) -> None:
        """Log a reset."""
        self._log.write(event)

    @hookimpl
    def hookframe_context_entered(self, event: events.ContextEntered) -> None:
        """Log the start of a context."""
        self._log.write(event)

    @hookimpl
    def hookframe_context_exited(self, event: events.ContextExited) -> None:
        """Log the end of a context, and of what type the exception was that ended it."""
        self._log.write(event)

    @hookimpl
    def hookframe_cache_started(self, event: events.CacheStarted) -> None:
        """Log which points are going to be cached."""
        self._log.write(event)

    @hookimpl
    def hookframe_cache_finished(self, event: events.CacheFinished) -> None:
        """Log how much was cached."""
        self._log.write(event)

    @hookimpl
    def hookframe_run_finished(self, event: events.RunFinished) -> None:
        """Log which hooks fired, and which never did."""
        self._log.write(event)

    @hookimpl
    def hookframe_hook_failed(self, event: events.HookFailed) -> None:
        """Log which function raised, where, and an exception of what type."""
        self._log.write(event)


plugin = LogPlugin()
