"""A device policy for hookframe: what happens when a model or a cache is put on Apple's MPS.

Importing this package imports neither torch nor the plugin; :mod:`hookframe_mps.plugin` has it.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
