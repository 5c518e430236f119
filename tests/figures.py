"""Counts of what a run of tests tried, for the page on how hookframe is tested; a pytest plugin: ``-p tests.figures``."""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

_counts: Counter[str] = Counter()
_rooms: Counter[str] = Counter()
_faults: Counter[str] = Counter()
_found: dict[str, None] = {}


@pytest.fixture
def tally() -> Callable[..., None]:
    """Counts what a test tries: ``tally("threads in the soak", 8)``."""

    def count(what: str, how_many: int = 1) -> None:
        _counts[what] += how_many

    return count


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", type=Path, help="write the counts of this run as JSON: docs/figures")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "found(text): what was wrong before this test was there")
    config.addinivalue_line("markers", "fault(kind): breaks something while a model is in use; each case counts as one")


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
        marks = [mark for name in ("found", "fault") for mark in item.iter_markers(name)]
        report.user_properties += [(mark.name, mark.args[0]) for mark in marks]
        report.user_properties.append(("room", _room(item)))
    return report


def _room(item: pytest.Item) -> str:
    """The directory under ``tests``, or the distribution whose own tests these are."""
    inside = item.path.relative_to(item.config.rootpath).parts
    return inside[1] if len(inside) > 2 else item.config.rootpath.name


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the process that started this one hears of it as well
    if report.when == "call" or (report.when == "setup" and report.skipped):
        _counts[f"tests {report.outcome}"] += 1
        for key, text in report.user_properties:
            if key == "room":
                _rooms[text] += 1
            elif key == "fault":
                _faults[text] += 1
            elif key == "found":
                _found[text] = None


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
            "faults": dict(sorted(_faults.items())),
            "rooms": dict(sorted(_rooms.items())),
            "found": sorted(_found),
        }
        path.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
