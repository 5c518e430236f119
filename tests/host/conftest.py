"""Makes the fake distributions of this directory importable, here and for ``tests/cli``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from fake_distributions import site  # noqa: F401  # a fixture, found through the line above
