"""The version of the plugin API: of the specs, their arguments, and what is promised about them."""

__all__ = ["PLUGIN_API"]

PLUGIN_API = "1.0"
