"""A new plugin, complete: what ``hookframe plugins new`` writes."""
