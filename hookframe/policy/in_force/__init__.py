"""The policy of a process: layers merged into one, decisions made by it, and what it asks of plugins and the journal.

Door: ``found``, ``policy``, ``merging``, ``decide``, ``engine``, ``governing``. Imports the rooms ``files`` and ``language``.
"""
