"""Fixtures for all tests: no installed plugin unless a test asks for it, and counts of what was tried."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import hookframe
from hookframe.core.fast_path.batch_pool import BatchPool
from hookframe.core.registration import attach

from .figures import pytest_addoption as add_figures
from .figures import (  # noqa: F401  # what pytest finds here, it calls
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_logreport,
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_testnodedown,
    pytest_unconfigure,
    tally,
)


@pytest.fixture(autouse=True)
def manager() -> Iterator[hookframe.PluginManager]:
    """An empty plugin manager, in force for the test."""
    with hookframe.use_plugins() as empty:
        yield empty


@pytest.fixture(autouse=True)
def fast_path(request: pytest.FixtureRequest) -> Iterator[None]:
    """The fast path, unless it is to refuse everything that it may refuse: see ``hookframe/core/fast_path``."""
    with pytest.MonkeyPatch.context() as patch:  # the tests' own monkeypatch has to end before fixtures that it patches
        if request.config.getoption("--without-fast-path"):
            patch.setattr(BatchPool, "take", lambda pool, kind: None)
            patch.setattr(attach, "put", lambda bulk: [*bulk.attachments])
            patch.setattr(attach, "take", lambda bulk: [*bulk.attachments])
        yield


_OF_EXTRAS = ("hypothesis", "HookPlan", "hookframe.policy", "model.capture(")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Where only the required dependencies are installed, leave out the files that need an extra."""
    if collection_path.suffix != ".py" or collection_path.parent.name == "extras" or find_spec("pydantic") is not None:
        return None
    text = collection_path.read_text(encoding="utf-8")
    return True if any(name in text for name in _OF_EXTRAS) else None


def pytest_addoption(parser: pytest.Parser) -> None:
    add_figures(parser)
    parser.addoption("--without-fast-path", action="store_true", help="let the fast path of the core refuse everything")
    parser.addoption("--soak", action="store_true", help="soak for up to two minutes instead of some seconds")
