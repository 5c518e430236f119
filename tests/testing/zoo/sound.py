"""Nothing is wrong with this one: it refuses backward hooks at attention patterns, and counts what was attached."""

from hookframe import Objection, hookimpl

attached = []


@hookimpl
def hookframe_check_hooks_to_add(requests):
    return [
        Objection.deny(
            request,
            rule="no-pattern-gradients",
            message="gradients of attention patterns are not looked at here",
            remedy="hook attn.hook_z instead",
        )
        for request in requests
        if request.direction == "bwd" and (request.point or "").endswith("hook_pattern")
    ]


@hookimpl
def hookframe_hooks_added(event):
    attached.append(len(event.requests))
