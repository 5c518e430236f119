"""Admits the route that came first, and no other."""

from hookframe import Objection, hookimpl

first = []


@hookimpl
def hookframe_check_hooks_to_add(requests):
    first.append(requests[0].route)
    if requests[0].route != first[0]:
        return Objection.warn(requests[0], rule="one-route", message="another route came first", remedy="keep to one")
    return None
