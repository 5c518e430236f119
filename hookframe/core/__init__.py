"""The hook manager: hook points, the models that hold them, and the verbs that users call. Uses torch; knows no plugin.

Eight rooms, each of which may import those below it, and ``hookframe.admission`` and ``hookframe.errors``:

- ``verbs``: what a user calls on a model (``run_with_cache``, ``hooks``, ``add_hook`` …), and what is reported afterwards
- ``model``: the hook point, and the points of a model by name
- ``registration``: planning, admission, attaching and detaching of any batch of hooks
- ``fast_path``: attaching, in one loop, a batch that was planned before; it may always decline, and can be deleted
- ``hooks``: one function at one point: how a tensor passes through it, forward and backward
- ``cache``: where activations are kept and looked up
- ``torch_compat``: what hookframe relies on in torch that torch does not promise
- ``values``: types, slices, texts, warnings, scopes, and the protocols of points and models
"""
