"""Implements a spec that there is not: it would never be called."""

from hookframe import hookimpl


@hookimpl
def hookframe_check_hook_to_add(requests):
    return None
