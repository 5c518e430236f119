"""Model families for hookframe: canonical names, gates with remedies, and semantic checks.

Importing this package, and the plugin, imports neither torch nor transformers.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
