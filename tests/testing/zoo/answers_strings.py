"""Objects in prose."""

from hookframe import hookimpl


@hookimpl
def hookframe_check_reset(request):
    return ["these hooks are not yours"]
