"""From files to layers: where they lie, how TOML becomes rules, and all mistakes of a file at once, each with its line.

Door: ``layers``, ``reading``, ``rules``, ``schema``, ``mistakes``. Imports :mod:`hookframe.policy.language`.
"""
