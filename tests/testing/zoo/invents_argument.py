"""Asks for an argument that the spec does not have."""

from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests, user):
    return None
