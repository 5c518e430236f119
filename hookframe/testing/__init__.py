"""The test kit for plugin authors: a pytest plugin with fixtures, fake installations, and a conformance run.

The names below are loaded when they are first used; pytest imports :mod:`hookframe.testing.plugin` in every environment
that hookframe is installed in, and that loads none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookframe.testing.conformance.card import Card, CheckResult, Verdict
    from hookframe.testing.conformance.checking import check_plugin
    from hookframe.testing.decision_asserter import DecisionAsserter
    from hookframe.testing.event_recorder import EventRecorder
    from hookframe.testing.fake_installations import FakeDistribution, FakeSite, fake_site
    from hookframe.testing.request_builder import RequestBuilder
    from hookframe.testing.tiny_model import TinyModel

_HOME = {
    "Card": "conformance.card",
    "CheckResult": "conformance.card",
    "DecisionAsserter": "decision_asserter",
    "EventRecorder": "event_recorder",
    "FakeDistribution": "fake_installations",
    "FakeSite": "fake_installations",
    "RequestBuilder": "request_builder",
    "TinyModel": "tiny_model",
    "Verdict": "conformance.card",
    "check_plugin": "conformance.checking",
    "fake_site": "fake_installations",
}

__all__ = [
    "Card",
    "CheckResult",
    "DecisionAsserter",
    "EventRecorder",
    "FakeDistribution",
    "FakeSite",
    "RequestBuilder",
    "TinyModel",
    "Verdict",
    "check_plugin",
    "fake_site",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hookframe.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hookframe.testing.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__]
