"""Starts a thread that waits for something, when it is imported."""

import threading

from hookframe import hookimpl

threading.Thread(target=int, daemon=True).start()


@hookimpl
def hookframe_hooks_added(event):
    return None
