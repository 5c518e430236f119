"""Admission as values: requests, objections, decisions, events, and the protocol of who decides.

Nothing here imports torch or pluggy; everything can be printed, compared and sent to another process.
"""
