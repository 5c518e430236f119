"""What a user calls on a model: ``HookedRootModule`` and its verbs, the context that they enter, and the reports afterwards.

A verb asks the model for points, makes a ``HookContext`` and runs the model in it. On leaving, ``context`` detaches the
hooks; ``reports`` (events, caches, failures, exports) and ``silence`` (hooks that never fired) tell observers and the user.

Door: ``HookedRootModule``, ``HookIntrospectionMixin``, ``HookContext``, ``AppliesToModel``. Imports every other room.
"""
