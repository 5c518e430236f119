"""Policy: rules as data. What may be hooked, by whom and how, read from TOML, merged from layers and decided in one place.

Nothing here imports torch; nothing in a policy is run. The names below are what code outside hookframe may import; they
are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.host.installed.rules import LoadingRules
    from hookframe.policy.files.reading import read_layer
    from hookframe.policy.files.rules import Exemption, Rule
    from hookframe.policy.in_force.decide import decide
    from hookframe.policy.in_force.engine import PolicyEngine
    from hookframe.policy.in_force.found import Found
    from hookframe.policy.in_force.governing import plugins_under
    from hookframe.policy.in_force.merging import merge
    from hookframe.policy.in_force.policy import Policy
    from hookframe.policy.language.facts import ModelFacts, RecordedFacts, RequestFacts, place_of
    from hookframe.policy.language.vocabulary import FACTS, OPERATORS, PLACES, LayerKind, Mode, Place
    from hookframe.policy.tools.tracing import explain

__all__ = [
    "FACTS",
    "OPERATORS",
    "PLACES",
    "Exemption",
    "Found",
    "LayerKind",
    "LoadingRules",
    "Mode",
    "ModelFacts",
    "Place",
    "Policy",
    "PolicyEngine",
    "RecordedFacts",
    "RequestFacts",
    "Rule",
    "decide",
    "explain",
    "merge",
    "place_of",
    "plugins_under",
    "read_layer",
]

__getattr__, __dir__ = lend(
    __name__,
    {
        "Exemption": "hookframe.policy.files.rules",
        "FACTS": "hookframe.policy.language.vocabulary",
        "Found": "hookframe.policy.in_force.found",
        "LayerKind": "hookframe.policy.language.vocabulary",
        "LoadingRules": "hookframe.host.installed.rules",
        "Mode": "hookframe.policy.language.vocabulary",
        "ModelFacts": "hookframe.policy.language.facts",
        "OPERATORS": "hookframe.policy.language.vocabulary",
        "PLACES": "hookframe.policy.language.vocabulary",
        "Place": "hookframe.policy.language.vocabulary",
        "Policy": "hookframe.policy.in_force.policy",
        "PolicyEngine": "hookframe.policy.in_force.engine",
        "RecordedFacts": "hookframe.policy.language.facts",
        "RequestFacts": "hookframe.policy.language.facts",
        "Rule": "hookframe.policy.files.rules",
        "decide": "hookframe.policy.in_force.decide",
        "explain": "hookframe.policy.tools.tracing",
        "merge": "hookframe.policy.in_force.merging",
        "place_of": "hookframe.policy.language.facts",
        "plugins_under": "hookframe.policy.in_force.governing",
        "read_layer": "hookframe.policy.files.reading",
    },
)
