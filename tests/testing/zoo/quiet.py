"""Nothing is wrong with this one: it listens, and says nothing."""

from hookframe import hookimpl


@hookimpl
def hookframe_hooks_added(event):
    return None
