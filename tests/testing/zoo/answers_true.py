"""Says yes instead of saying nothing."""

from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return True
