"""Gives each objection a rule of its own, that nobody can except from a policy."""

from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [
        Objection.warn(request, rule=f"Rule about {request.point!r}!", message="mind the gap", remedy="step over it")
        for request in requests
    ]
