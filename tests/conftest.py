"""Fixtures for all tests: a small real model, no installed plugin unless a test asks for it, and counts of what was tried."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hookframe

_counts: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def manager() -> Iterator[hookframe.PluginManager]:
    """An empty plugin manager, in force for the test."""
    with hookframe.use_plugins() as empty:
        yield empty


@pytest.fixture
def tally() -> Callable[..., None]:
    """Counts what a test tries, for the page on how hookframe is tested: ``tally("injected faults", 3)``."""

    def count(what: str, how_many: int = 1) -> None:
        _counts[what] += how_many

    return count


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="soak for up to two minutes instead of some seconds")
    parser.addoption("--figures", type=Path, help="write the counts of this run as JSON, for docs/figures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count the inputs that Hypothesis tries: it calls the inner test once for each."""
    wrapped: set[int] = set()
    for item in items:
        handle = getattr(getattr(item, "obj", None), "hypothesis", None)
        if handle is not None and id(handle) not in wrapped:
            wrapped.add(id(handle))
            handle.inner_test = _counted(handle.inner_test)


def _counted(test: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> object:
        _counts["inputs tried by Hypothesis"] += 1
        return test(*args, **kwargs)

    return run


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or (report.when == "setup" and report.skipped):
        _counts[f"tests {report.outcome}"] += 1
        room = report.nodeid.replace("\\", "/").split("/")
        _counts[f"room {room[1] if len(room) > 2 else room[0]}"] += report.outcome == "passed"


def pytest_sessionfinish(session: pytest.Session) -> None:
    path: Path | None = session.config.getoption("figures")
    if path is not None:
        path.write_text(json.dumps(dict(sorted(_counts.items())), indent=2) + "\n")
