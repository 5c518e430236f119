"""What hookframe relies on in torch that torch does not promise; the first place to look when a new torch breaks a test.

``dynamo`` has the marks that say what torch.compile traces and what it leaves alone; what it traces in place of a marked
function (``traced_as``) stands beside that function: ``_traced_call`` in ``model.hook_point``, ``_traced`` in ``hooks``; ``child_tables`` notices changed modules cheaply;
``checkpointing`` notices activations that are computed twice; ``host_copies`` copies from a GPU during the forward pass.

Door: ``ChildTables``, ``HostCopier``, ``traced_as``, ``run_while_traced``, ``is_compiled_elsewhere``. Imports ``values`` only.
"""
