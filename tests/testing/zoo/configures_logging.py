"""Sets up logging for the whole process."""

import logging

from hookframe import hookimpl

logging.basicConfig(level=logging.DEBUG)


@hookimpl
def hookframe_hooks_added(event):
    return None
