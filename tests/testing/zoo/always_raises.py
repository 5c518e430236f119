"""Has a mistake that the first call finds."""

from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [request.name for request in requests]
