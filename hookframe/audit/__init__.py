"""The journal: what was decided and what happened, as files that show whether somebody changed them.

Values and files: nothing here imports torch, and only :mod:`hookframe.audit.plugin` speaks to the plugin bus.
"""
