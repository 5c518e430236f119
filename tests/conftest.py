"""Fixtures for all tests: a small real model, and no installed plugin unless a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import hookframe


@pytest.fixture(autouse=True)
def manager() -> Iterator[hookframe.PluginManager]:
    """An empty plugin manager, in force for the test."""
    with hookframe.use_plugins() as empty:
        yield empty
