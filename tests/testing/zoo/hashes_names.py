"""Draws lots by a hash that every process salts anew."""

from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [
        Objection.audit(request, rule="sampled", message="chosen to be looked at", remedy="nothing needs to be done")
        for request in requests
        if hash(request.point) % 2
    ]
