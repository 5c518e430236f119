"""Waits for an answer that does not come."""

import time

from hookframe import hookimpl


@hookimpl
def hookframe_check_device(request):
    time.sleep(3600)
