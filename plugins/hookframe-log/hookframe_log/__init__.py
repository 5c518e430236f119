"""A structured log of the life of hooks, for hookframe: one line for each event, and never a tensor's value.

Importing this package imports neither torch nor the plugin; :mod:`hookframe_log.plugin` has it.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
