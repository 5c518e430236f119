"""Makes the fake distributions of ``tests/host`` importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "host"))

from fake_distributions import site  # noqa: F401  # a fixture, found through the line above
