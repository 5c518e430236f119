"""How long hook functions take, for hookframe: a timer around each function, and a summary at the end of the process.

Importing this package imports neither torch nor the plugin; :mod:`hookframe_timing.plugin` has it.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
