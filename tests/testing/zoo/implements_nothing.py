"""Is a plugin by its entry point alone."""
