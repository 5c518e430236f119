"""Thinks for a while; that is no failure, and the card says it."""

import time

from hookframe import hookimpl


@hookimpl
def hookframe_check_device(request):
    if request.device == "cpu":
        time.sleep(0.02)
