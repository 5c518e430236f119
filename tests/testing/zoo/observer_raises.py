"""Expects every run to end well."""

from hookframe import hookimpl


@hookimpl
def hookframe_run_finished(event):
    if event.error is not None:
        raise RuntimeError(event.error)
