"""Objects to a request that it made up."""

from dataclasses import replace

from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    other = replace(requests[0], point="somewhere.else")
    return Objection.deny(other, rule="not-there", message="that place is mine", remedy="hook another place")
