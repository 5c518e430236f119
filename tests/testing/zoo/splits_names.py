"""Takes every point name apart, and knows one way to name points."""

from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    found = []
    for request in requests:
        if request.point != "hook_embed" and int(request.point.split(".")[1]) > 40:
            found.append(
                Objection.deny(request, rule="too-deep", message="layers end at 40", remedy="hook an earlier one")
            )
    return found
