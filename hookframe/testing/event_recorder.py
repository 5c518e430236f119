"""An observer that remembers everything."""

from __future__ import annotations

from typing import TypeAlias

from hookframe.admission import events
from hookframe.admission.decision import Decision
from hookframe.hookspecs import hookimpl

__all__ = ["EventRecorder", "Recorded"]

Recorded: TypeAlias = tuple[str, "events.Event | Decision"]
"""The spec's name without the prefix, and what it was called with."""


class EventRecorder:
    """A plugin that keeps what observers are told.

    :ivar events: ``(spec, event)`` in the order of the calls.
    """

    def __init__(self) -> None:
        self.events: list[Recorded] = []

    @hookimpl
    def hookframe_decision_made(self, decision: Decision) -> None:
        """Keep a decision."""
        self.events.append(("decision_made", decision))

    @hookimpl
    def hookframe_hooks_added(self, event: events.HooksAdded) -> None:
        """Keep an event."""
        self.events.append(("hooks_added", event))

    @hookimpl
    def hookframe_hooks_removed(self, event: events.HooksRemoved) -> None:
        """Keep an event."""
        self.events.append(("hooks_removed", event))

    @hookimpl
    def hookframe_hooks_reset(self, event: events.HooksReset) -> None:
        """Keep an event."""
        self.events.append(("hooks_reset", event))

    @hookimpl
    def hookframe_context_entered(self, event: events.ContextEntered) -> None:
        """Keep an event."""
        self.events.append(("context_entered", event))

    @hookimpl
    def hookframe_context_exited(self, event: events.ContextExited) -> None:
        """Keep an event."""
        self.events.append(("context_exited", event))

    @hookimpl
    def hookframe_cache_started(self, event: events.CacheStarted) -> None:
        """Keep an event."""
        self.events.append(("cache_started", event))

    @hookimpl
    def hookframe_cache_finished(self, event: events.CacheFinished) -> None:
        """Keep an event."""
        self.events.append(("cache_finished", event))

    @hookimpl
    def hookframe_run_finished(self, event: events.RunFinished) -> None:
        """Keep an event."""
        self.events.append(("run_finished", event))

    @hookimpl
    def hookframe_hook_failed(self, event: events.HookFailed) -> None:
        """Keep an event."""
        self.events.append(("hook_failed", event))
