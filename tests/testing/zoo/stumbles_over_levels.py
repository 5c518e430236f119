"""Raises at deep contexts only, which nobody tried by hand."""

from hookframe import hookimpl

NAMES = ("outer", "inner", "innermost")


@hookimpl
def hookframe_check_hooks_to_add(requests):
    for request in requests:
        if request.effect == "read" and request.level is not None and 3 < request.level < 10_000:
            NAMES[request.level]
