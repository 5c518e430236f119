"""Returns something that nobody reads."""

from hookframe import hookimpl


@hookimpl
def hookframe_context_entered(event):
    return event.level
