"""The test kit for plugin authors: a pytest plugin with fixtures, fake installations, and a conformance run.

The names below are loaded when they are first used; pytest imports :mod:`hookframe.testing.plugin` in every environment
that hookframe is installed in, and that loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.testing.conformance.card import Card, CheckResult, Verdict
    from hookframe.testing.conformance.checking import check_plugin
    from hookframe.testing.decision_asserter import DecisionAsserter
    from hookframe.testing.event_recorder import EventRecorder
    from hookframe.testing.fake_installations import FakeDistribution, FakeSite, fake_site
    from hookframe.testing.request_builder import RequestBuilder
    from hookframe.testing.tiny_model import TinyModel

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

__getattr__, __dir__ = lend(
    __name__,
    {
        "Card": "hookframe.testing.conformance.card",
        "CheckResult": "hookframe.testing.conformance.card",
        "DecisionAsserter": "hookframe.testing.decision_asserter",
        "EventRecorder": "hookframe.testing.event_recorder",
        "FakeDistribution": "hookframe.testing.fake_installations",
        "FakeSite": "hookframe.testing.fake_installations",
        "RequestBuilder": "hookframe.testing.request_builder",
        "TinyModel": "hookframe.testing.tiny_model",
        "Verdict": "hookframe.testing.conformance.card",
        "check_plugin": "hookframe.testing.conformance.checking",
        "fake_site": "hookframe.testing.fake_installations",
    },
)
