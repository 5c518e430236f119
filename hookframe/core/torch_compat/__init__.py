"""What hookframe relies on in torch that torch does not promise; the first place to look when a new torch breaks a test.

``dynamo`` says what torch.compile traces and what it leaves alone; ``child_tables`` notices changed modules cheaply;
``checkpointing`` notices activations that are computed twice; ``host_copies`` copies from a GPU during the forward pass.

Door: ``ChildTables``, ``HostCopier``, ``run_while_traced``, ``is_compiled_elsewhere``. Imports ``values`` only.
"""
