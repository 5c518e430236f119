"""Refuses every third time."""

import itertools

from hookframe import Objection, hookimpl

calls = itertools.count(1)


@hookimpl
def hookframe_check_device(request):
    if next(calls) % 3 == 0:
        return Objection.deny(request, rule="enough", message="that is enough for now", remedy="come back later")
    return None
