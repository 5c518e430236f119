"""Speed, and nothing else: one loop attaches or detaches a batch that was planned before.

The contract: everything here may decline. ``BatchPool.take`` may return None; ``put`` returns the attachments that it did not
attach, ``take`` those that it did not detach, and the caller attaches or detaches these one by one, under the same lock.
Nothing here asks a controller, tells an observer, or changes which hooks a point reports. With ``BatchPool.take`` returning
None, and ``put`` and ``take`` returning everything, every test outside ``tests/core/fast_path`` passes, only slower
(``pytest --without-fast-path``). Besides ``hooks.steps.store``, only this room writes what a point runs.

Door: none; ``registration``, ``model`` and ``verbs`` of the core use it. Imports ``hooks`` and the rooms below.
"""
