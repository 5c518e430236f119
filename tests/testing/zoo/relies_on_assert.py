"""Objects by assertion, which python -O leaves out."""

from hookframe import Objection, hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    try:
        assert not any(request.permanent for request in requests), "permanent hooks are not wanted"
    except AssertionError as error:
        return Objection.deny(requests[0], rule="permanent", message=str(error), remedy="use a context")
    return None
