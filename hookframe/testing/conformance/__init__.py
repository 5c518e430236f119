"""Whether a plugin is what hookframe asks of it: named checks, and a card that says how each came out."""
