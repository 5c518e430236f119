"""The pytest plugin: fixtures for plugin authors, and ``--hookframe-conformance DIST``.

Everything but pytest itself is imported by what uses it, so that a suite that does not pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hookframe.host.running.manager import PluginManager
    from hookframe.testing.decision_asserter import DecisionAsserter
    from hookframe.testing.event_recorder import Recorded
    from hookframe.testing.fake_installations import FakeSite
    from hookframe.testing.request_builder import RequestBuilder
    from hookframe.testing.tiny_model import TinyModel

__all__: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the conformance run."""
    group = parser.getgroup("hookframe", "hookframe plugins")
    group.addoption(
        "--hookframe-conformance",
        action="append",
        default=[],
        metavar="DIST",
        help="check that the plugins of this installed distribution are what hookframe asks of them; can be repeated",
    )
    group.addoption("--hookframe-card", metavar="FILE", help="write the outcome of --hookframe-conformance as JSON")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add one item for each check of each distribution."""
    if config.option.hookframe_conformance:
        from hookframe.testing.conformance.items import items_for

        items.extend(items_for(session, config.option.hookframe_conformance))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the cards, and write them."""
    if config.option.hookframe_conformance and not config.option.collectonly:
        from hookframe.testing.conformance.items import report

        report(terminalreporter, config)


@pytest.fixture
def hookframe_manager() -> Iterator[PluginManager]:
    """An empty plugin manager, in force until the test ends: no installed plugin takes part."""
    from hookframe.host.running.using import use_plugins

    with use_plugins() as manager:
        yield manager


@pytest.fixture
def make_hookframe_manager() -> Iterator[Callable[..., PluginManager]]:
    """Make a manager with plugins and options: ``make_hookframe_manager(*plugins, options=None, in_force=True)``.

    The one that was made last is in force, until the test ends. A manager that is there already may be given instead of
    plugins.
    """
    from hookframe.host.running.manager import PluginManager
    from hookframe.host.running.using import use_plugins

    with ExitStack() as stack:

        def make(
            *plugins: object, options: Mapping[str, Mapping[str, Any]] | None = None, in_force: bool = True
        ) -> PluginManager:
            given = plugins[0] if len(plugins) == 1 else None
            manager = given if isinstance(given, PluginManager) else PluginManager(*plugins, options=options)
            return stack.enter_context(use_plugins(manager)) if in_force else manager

        yield make


@pytest.fixture
def tiny_model() -> TinyModel:
    """A small real model with two blocks, the usual point names, and two gates that are off."""
    from hookframe.testing.tiny_model import TinyModel

    return TinyModel()


@pytest.fixture
def hook_events(hookframe_manager: PluginManager) -> list[Recorded]:
    """What observers are told during the test, as ``(spec, event)``; decisions too."""
    from hookframe.testing.event_recorder import EventRecorder

    recorder = EventRecorder()
    hookframe_manager.register(recorder)
    return recorder.events


@pytest.fixture
def assert_decision() -> DecisionAsserter:
    """``assert_decision.allowed(decision)`` and ``.denied(decision, by=…, rules=…, points=…)``."""
    from hookframe.testing.decision_asserter import DecisionAsserter

    return DecisionAsserter()


@pytest.fixture
def hook_request() -> RequestBuilder:
    """Build requests: ``hook_request(point, function)``, and ``.batch``, ``.cache``, ``.device`` and ``.reset``."""
    from hookframe.testing.request_builder import RequestBuilder

    return RequestBuilder()


@pytest.fixture
def fake_install(tmp_path: Path) -> Iterator[FakeSite]:
    """Installations without pip, on ``sys.path`` until the test ends: ``fake_install.normal("acme-rules", source)``."""
    from hookframe.testing.fake_installations import fake_site

    with fake_site(tmp_path / "fake-site") as site:
        yield site
