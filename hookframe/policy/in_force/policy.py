"""A policy in force: what all of its layers come to together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from hookframe.host.installed.rules import LoadingRules
from hookframe.policy.files.mistakes import Mistake
from hookframe.policy.files.reading import Layer
from hookframe.policy.files.rules import Exemption, PolicyOrigin, Rule
from hookframe.policy.in_force.indexing import RuleIndex
from hookframe.policy.language.conditions import FactSource
from hookframe.policy.language.vocabulary import PLACES, Mode, Place

__all__ = ["Effective", "Policy", "Requirement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One plain value, with where it came from.

    :ivar path: its dotted name.
    :ivar beat: the values that it stood against, and where they are written; strongest layer first.
    :ivar locked_by: where a stronger layer forbids to change it, None if none does.
    :ivar why: how it won, as a phrase.
    """

    path: str
    value: Any
    origin: PolicyOrigin
    beat: tuple[tuple[Any, PolicyOrigin], ...] = ()
    locked_by: PolicyOrigin | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A distribution that has to be installed in a range of versions."""

    distribution: str
    versions: str
    origin: PolicyOrigin


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is in force. Frozen; another set of files is another policy.

    :ivar layers: the files it comes from, strongest first.
    :ivar rules: of all layers together, strongest layer first.
    :ivar exemptions: of all layers together.
    :ivar values: dotted name → the plain value in force.
    :ivar loading: what the layers say about plugins, all at once.
    :ivar requirements: versions that have to be installed.
    :ivar environment: names of environment variables that conditions may look at.
    :ivar notes: what a layer says without effect: values that are locked, rules that do not exist.
    """

    layers: tuple[Layer, ...] = ()
    rules: tuple[Rule, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    values: Mapping[str, Effective] = field(default_factory=lambda: MappingProxyType({}))
    loading: LoadingRules = field(default_factory=LoadingRules)
    requirements: tuple[Requirement, ...] = ()
    environment: frozenset[str] = frozenset()
    notes: tuple[Mistake, ...] = ()

    @property
    def managed(self) -> bool:
        """True if a layer is in force that the person who runs the code does not write."""
        return any(layer.kind.managed for layer in self.layers)

    @cached_property
    def digest(self) -> str:
        """A digest of every layer's kind and bytes: ``sha256:`` and 64 digits."""
        lines = "\n".join(f"{layer.kind.label} {layer.digest}" for layer in self.layers)
        return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()

    def value(self, path: str, default: Any = None) -> Any:
        """The plain value called ``path``, or ``default`` if no layer says it."""
        found = self.values.get(path)
        return default if found is None else found.value

    def below(self, prefix: str) -> dict[str, Any]:
        """The plain values whose names begin with ``prefix``, without it."""
        return {path.removeprefix(prefix): v.value for path, v in self.values.items() if path.startswith(prefix)}

    def rules_at(self, place: Place) -> tuple[Rule, ...]:
        """The rules that are asked there."""
        return self._by_place[place]

    @cached_property
    def _by_place(self) -> Mapping[Place, tuple[Rule, ...]]:
        return {place: tuple(r for r in self.rules if r.mode_at(place) is not Mode.OFF) for place in PLACES}

    def rules_about(self, place: Place, facts: FactSource) -> tuple[Rule, ...]:
        """The rules that are asked there and can be about a request with these facts; the others do not match."""
        names = facts.get("request.point") if place == "add" else None
        if not isinstance(names, tuple) or facts.is_unknown("request.point"):
            return self.rules_at(place)
        return self._index.about(names)

    @cached_property
    def _index(self) -> RuleIndex:
        return RuleIndex(self.rules_at("add"))

    def exemptions_from(self, rule: Rule) -> tuple[Exemption, ...]:
        """The exceptions that speak of a rule, whether or not they hold today."""
        return self._by_rule.get(rule.name, ())

    @cached_property
    def _by_rule(self) -> Mapping[str, tuple[Exemption, ...]]:
        found: dict[str, tuple[Exemption, ...]] = {}
        for exemption in self.exemptions:
            for rule in self.rules:
                if rule.answers_to(exemption.rule):
                    found[rule.name] = (*found.get(rule.name, ()), exemption)
        return found

    def paths_at(self, place: Place) -> tuple[str, ...]:
        """The facts that rules and exceptions there look at, sorted."""
        return self._paths[place]

    @cached_property
    def _paths(self) -> Mapping[Place, tuple[str, ...]]:
        return {place: tuple(sorted(set(self._looked_at(place)))) for place in PLACES}

    def _looked_at(self, place: Place) -> list[str]:
        conditions = [rule.condition for rule in self.rules_at(place)]
        conditions += [e.condition for rule in self.rules_at(place) for e in self.exemptions_from(rule)]
        return [path for condition in conditions for path in condition.paths()]
