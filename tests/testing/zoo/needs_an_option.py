"""Cannot be registered as long as nobody has written its option."""

from hookframe import hookimpl


@hookimpl
def hookframe_configure(config):
    config.options["token"]


@hookimpl
def hookframe_hooks_added(event):
    return None
