"""Prepares something for the thread that imports it, and for no other."""

import threading

from hookframe import hookimpl

prepared = threading.local()
prepared.seen = 0


@hookimpl
def hookframe_check_hooks_to_add(requests):
    prepared.seen += len(requests)
