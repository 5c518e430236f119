"""The ``hookframe`` command: one file for each verb. It renders, and decides nothing."""
