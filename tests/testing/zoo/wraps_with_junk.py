"""Puts the name of a function in place of the function."""

from hookframe import hookimpl


@hookimpl
def hookframe_wrap_hook(request, hook):
    return hook.__name__
