"""The test kit for plugin authors: a pytest plugin with fixtures, fake installations, and a conformance run.

The names below are loaded when they are first used; pytest imports :mod:`hookframe.testing.plugin` in every environment
that hookframe is installed in, and that loads none of them.
"""

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.testing.conformance.card import Card as Card
    from hookframe.testing.conformance.card import CheckResult as CheckResult
    from hookframe.testing.conformance.card import Verdict as Verdict
    from hookframe.testing.conformance.checking import check_plugin as check_plugin
    from hookframe.testing.decision_asserter import DecisionAsserter as DecisionAsserter
    from hookframe.testing.event_recorder import EventRecorder as EventRecorder
    from hookframe.testing.fake_installations import FakeDistribution as FakeDistribution
    from hookframe.testing.fake_installations import FakeSite as FakeSite
    from hookframe.testing.fake_installations import fake_site as fake_site
    from hookframe.testing.request_builder import RequestBuilder as RequestBuilder
    from hookframe.testing.tiny_model import TinyModel as TinyModel

__getattr__, __dir__, __all__ = lend(__name__)
