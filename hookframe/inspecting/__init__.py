"""Looking at a model's hooks: which are there, which a block of code leaves behind, and whether observing changes a result.

The door is :func:`hookframe.scan`, :class:`hookframe.no_leaks` and :func:`hookframe.check_noop`; what they find and report
are values (``report``). The room attaches observers for a check and takes them off again; apart from that it only looks.
It may import ``instrumenting``, ``core``, ``host`` and ``admission``.
"""
