"""Policy: rules as data. What may be hooked, by whom and how, read from TOML, merged from layers and decided in one place.

Nothing here imports torch; nothing in a policy is run. The names below are what code outside hookframe may import; they
are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.host.installed.rules import LoadingRules as LoadingRules
    from hookframe.policy.files.reading import read_layer as read_layer
    from hookframe.policy.files.rules import Exemption as Exemption
    from hookframe.policy.files.rules import Rule as Rule
    from hookframe.policy.in_force.decide import decide as decide
    from hookframe.policy.in_force.engine import PolicyEngine as PolicyEngine
    from hookframe.policy.in_force.found import Found as Found
    from hookframe.policy.in_force.governing import plugins_under as plugins_under
    from hookframe.policy.in_force.merging import merge as merge
    from hookframe.policy.in_force.policy import Policy as Policy
    from hookframe.policy.language.facts import ModelFacts as ModelFacts
    from hookframe.policy.language.facts import RecordedFacts as RecordedFacts
    from hookframe.policy.language.facts import RequestFacts as RequestFacts
    from hookframe.policy.language.facts import place_of as place_of
    from hookframe.policy.language.vocabulary import FACTS as FACTS
    from hookframe.policy.language.vocabulary import OPERATORS as OPERATORS
    from hookframe.policy.language.vocabulary import PLACES as PLACES
    from hookframe.policy.language.vocabulary import LayerKind as LayerKind
    from hookframe.policy.language.vocabulary import Mode as Mode
    from hookframe.policy.language.vocabulary import Place as Place
    from hookframe.policy.tools.tracing import explain as explain

__getattr__, __dir__, __all__ = lend(__name__)
