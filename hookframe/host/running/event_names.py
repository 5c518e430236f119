"""Which spec is told of which event."""

from __future__ import annotations

from hookframe.admission import events
from hookframe.admission.events import Event

__all__ = ["spec_for"]

_SPEC_OF = {
    events.HooksAdded: "hooks_added",
    events.HooksRemoved: "hooks_removed",
    events.HooksReset: "hooks_reset",
    events.ContextEntered: "context_entered",
    events.ContextExited: "context_exited",
    events.CacheStarted: "cache_started",
    events.CacheFinished: "cache_finished",
    events.RunFinished: "run_finished",
    events.HookFailed: "hook_failed",
}


def spec_for(event: Event) -> str:
    """The observer spec for ``event``, without the prefix."""
    return _SPEC_OF[type(event)]
