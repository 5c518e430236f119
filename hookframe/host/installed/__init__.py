"""What is installed, and what may load: read and judged from metadata and files, before anything is imported.

Door: ``inventory``, ``survey``, ``rules``, ``judging``, ``record`` (the state of each plugin), ``plugin_choice``
(what the user chose), ``integrity`` and ``lock`` (the files), ``compatibility`` (versions of the plugin API). Imports
nothing of :mod:`hookframe.host.running`.
"""
