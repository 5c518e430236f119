"""The hook point, and the points of a model by name.

``hook_point`` holds ``HookPoint``, and ``copying`` what becomes of its hooks in a copy or a pickle; ``tree`` reads the
modules, notices changes, and keeps what follows from them; ``names`` turns a filter into points; ``named_model`` is the base
of every model.

Door: ``HookPoint``, ``NamedModel``, ``ModuleTree``, ``PointIndex``, ``select``, ``Selected``, ``Selection``, ``carry``,
``revive``. Imports ``registration`` and the rooms below it, and ``fast_path``.
"""
