"""Fake installations, from hookframe's own test kit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hookframe.testing.fake_installations import FakeSite, fake_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FakeSite]:
    """A folder on the path, to install fake distributions into."""
    with fake_site(tmp_path / "site") as made:
        yield made
