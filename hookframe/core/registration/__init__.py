"""From a function and points to attached hooks, and off again: plan, admit, attach, detach, for any batch of hooks.

``attach`` is the one door: everything that attaches a hook goes through it. ``planning`` makes one attachment for each
point, ``batch`` holds those of an operation, ``admission`` asks the model's own check, the controller and the plugins'
wrappers, raises their refusals, and reviews devices.

Door: ``attach``, ``detach_all``, ``next_operation``, ``review_or_raise``, ``Batch``, ``plan_attachments``,
``device_in_force``. Imports ``fast_path``, ``hooks`` and the rooms below.
"""
