"""One function at one hook point: how a tensor passes through it.

``attachment`` holds the forward hook, what every hook has in common, and the handle that users hold;
``handle_list`` the handles at a point as users read and drop them; ``gradient`` the
backward hook, ``gradient_guard`` the check that keeps its gradients right; ``caching`` the hooks that fill a
cache, and store most values themselves;
``torch_hook`` torch's own ``register_*_hook`` on a point; ``guards`` the checks of what a function does; ``aliases`` a point
under other names; ``steps`` what a point runs, in order, with the cell that holds it, and the lock.

Door: ``Attachment``, ``HookHandle``, ``CachingFunction``, ``read_only``, ``guarded``, ``ReturnRules``, ``lock``. Imports
``cache``, ``torch_compat`` and ``values``.
"""
