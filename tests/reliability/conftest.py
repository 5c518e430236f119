"""One small model for threads, faults and random operations."""

from __future__ import annotations

import pytest

from hookframe.testing.tiny_model import TinyModel


@pytest.fixture
def model():
    return TinyModel(d_model=4, d_vocab=5)
