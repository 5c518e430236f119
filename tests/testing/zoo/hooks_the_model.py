"""Attaches a hook of its own while it decides about others."""

from hookframe import hookimpl


@hookimpl
def hookframe_check_cache(request, model):
    if model is not None:
        model.register_forward_hook(lambda *_: None)
