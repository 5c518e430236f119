"""Offers its complaint as the remedy."""

from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [
        Objection.warn(request, rule="no", message="do not do this", remedy="Do not do this.") for request in requests
    ]
