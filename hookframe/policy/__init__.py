"""Policy: rules as data. What may be hooked, by whom and how, read from TOML, merged from layers and decided in one place.

Nothing here imports torch; nothing in a policy is run.
"""
