"""Greets on standard output."""

import sys

from hookframe import hookimpl

print("welcome", file=sys.stdout)  # noqa: T201


@hookimpl
def hookframe_hooks_added(event):
    return None
