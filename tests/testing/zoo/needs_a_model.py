"""Forgets that a hook point may belong to no model."""

from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests, model):
    return [
        Objection.deny(request, rule="eval-mode", message="the model is in eval mode", remedy="call model.train()")
        for request in requests
        if not model.training
    ]
