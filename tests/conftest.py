"""Fixtures for all tests: a small real model, no installed plugin unless a test asks for it, and counts of what was tried."""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import hookframe

_counts: Counter[str] = Counter()
_rooms: Counter[str] = Counter()
_found: dict[str, None] = {}


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
    parser.addoption("--figures", type=Path, help="write the counts of this run as JSON: docs/figures")


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and report.passed:
        report.user_properties += [("found", mark.args[0]) for mark in item.iter_markers("found")]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the process that started this one hears of it as well
    if report.when == "call" or (report.when == "setup" and report.skipped):
        _counts[f"tests {report.outcome}"] += 1
        parts = report.nodeid.replace("\\", "/").split("/")
        _rooms[parts[1] if len(parts) > 2 else "journey"] += report.outcome == "passed"
        _found.update(dict.fromkeys(text for key, text in report.user_properties if key == "found"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what one of several test processes counted."""
    _counts.update(getattr(node, "workeroutput", {}).get("counts", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        session.config.workeroutput["counts"] = dict(_counts)


def pytest_unconfigure(config: pytest.Config) -> None:
    path: Path | None = config.getoption("figures")
    if path is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        figures = {
            "counts": dict(sorted(_counts.items())),
            "rooms": dict(sorted(_rooms.items())),
            "found": sorted(_found),
        }
        path.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
