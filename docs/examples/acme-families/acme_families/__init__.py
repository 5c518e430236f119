"""The example plugin of the documentation."""
