"""Has a validator without a mark, which nobody ever calls."""

from hookframe import Objection, hookimpl


def hookframe_check_hooks_to_add(requests):
    return [Objection.deny(requests[0], rule="no", message="no hooks here", remedy="ask the owner")]


@hookimpl
def hookframe_hooks_added(event):
    return None
