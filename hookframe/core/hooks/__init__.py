"""One function at one hook point: how a tensor passes through it.

``attachment`` is the forward hook and what every hook has in common, with the handle that users hold; ``handle_list`` the
handles at a point as users read and drop them; ``gradient`` the backward
hook, ``gradient_guard`` what keeps its gradients right; ``caching`` the hooks that fill a cache;
``torch_hook`` torch's own ``register_*_hook`` on a point; ``guards`` what a function may do; ``aliases`` a point under other
names; ``steps`` the order in which a point runs its hooks; with the cell that holds that, and the lock.

Door: ``Attachment``, ``HookHandle``, ``CachingFunction``, ``read_only``, ``guarded``, ``ReturnRules``, ``lock``. Imports
``cache``, ``torch_compat`` and ``values``.
"""
