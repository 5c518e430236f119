"""Makes every hook a reading one, by force."""

from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    for request in requests:
        object.__setattr__(request, "prepend", not request.prepend)
