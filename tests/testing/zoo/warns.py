"""Uses what is deprecated, and says so at every call."""

import warnings

from hookframe import hookimpl


@hookimpl
def hookframe_check_hooks_to_add(requests):
    warnings.warn("this way of looking is deprecated", DeprecationWarning, stacklevel=1)
