"""Looks for a newer version of itself as soon as it is imported."""

import socket

from hookframe import hookimpl

connection = socket.socket()
connection.close()


@hookimpl
def hookframe_hooks_added(event):
    return None
