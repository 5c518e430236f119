"""The demo model, loaded once."""

import pytest

from hookframe.demo.model import load_demo


@pytest.fixture(scope="session")
def shipped():
    """The shipped model; a test that uses it leaves it as it was."""
    return load_demo()
