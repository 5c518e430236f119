"""Keeps a log file that nobody asked for."""

from pathlib import Path

from hookframe import hookimpl

Path("plugin.log").write_text("imported\n")


@hookimpl
def hookframe_hooks_added(event):
    return None
