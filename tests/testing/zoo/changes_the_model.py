"""Switches the model to eval mode, to be safe."""

from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests, model):
    if model is not None:
        model.eval()
