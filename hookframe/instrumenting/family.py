"""A family of models as data: how to recognise it, what its points are called, when they are closed, what must hold."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias

from hookframe.instrumenting.place import At

__all__ = ["Check", "Family", "Gate", "NameMap", "Probe", "config_of", "kinds_of"]

NameMap: TypeAlias = Mapping[str, At | Sequence[At]]
"""Canonical name, with ``{i}`` for the layer, → its place, or several, of which the first that the model has counts."""

Probe: TypeAlias = Literal["tokens", "tokens-and-decoder-tokens", "pixels"]
"""The kind of input that a probe gives to a model of the family."""


def config_of(model: Any) -> Any:
    """The configuration of ``model``; None if it has none."""
    return getattr(model, "config", None)


def kinds_of(model: Any) -> Iterator[tuple[str, bool]]:
    """What kinds of model ``model`` is, the nearest first: each ``model_type``, and whether the model's class says it.

    The configuration says it, then the classes that the configuration derives from, then those that the model derives from,
    by their ``config_class``. So a model that was given a type of its own is still what its class is.
    """
    config = config_of(model)
    by_class = [getattr(vars(kind).get("config_class"), "model_type", None) for kind in type(model).__mro__]
    by_config = [vars(kind).get("model_type") for kind in type(config).__mro__]
    for kind in dict.fromkeys([getattr(config, "model_type", None), *by_config, *by_class]):
        if isinstance(kind, str) and kind:
            yield kind, kind in by_class


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Points that exist only under a condition.

    :ivar rule: a short name for the condition, kebab-case.
    :ivar points: patterns of names, in which ``*`` stands for anything.
    :ivar closed: says, as a phrase, why the points of ``model`` are closed; None if they are open.
    :ivar remedy: what opens them.
    """

    rule: str
    points: tuple[str, ...]
    closed: Callable[[Any], str | None]
    remedy: str

    def covers(self, name: str) -> bool:
        """True if this gate stands before the point called ``name``."""
        return _any_matches(self.points, name)


@lru_cache(maxsize=16384)  # asked about each hook of each operation
def _any_matches(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


class Check(Protocol):
    """Something that is true of the values at a family's points; see :mod:`hookframe.instrumenting.checks`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The points it needs, with ``{i}`` for a layer, ``{next}`` for the one after it and ``{last}`` for the last.

        It is tried for each layer for which the model has all of them.
        """

    @property
    def module(self) -> str | None:
        """The path of a module that it needs, as in :class:`~hookframe.instrumenting.place.At`; None for none."""

    @property
    def tolerance(self) -> float:
        """The largest deviation that is not reported."""

    @property
    def when(self) -> tuple[str, object] | None:
        """Attribute and value that the configuration must have for it to hold; None for always."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """How far ``values``, in the order of :attr:`names`, are from what must hold, as a part of the largest value."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family. ``names``, ``gates`` and ``checks`` are data; a subclass may override :meth:`matches`.

    :ivar name: how policies and people call it.
    :ivar model_types: values of ``config.model_type`` by which it is recognised.
    :ivar anchor: the path of its list of layers below its base module: where that is found, the base module begins.
    :ivar names: the name map.
    :ivar gates: which points are closed when.
    :ivar checks: what holds between the values at its points, tried on a probe.
    :ivar equal: groups of places at which an edit is the same edit, since one tensor passes through all of them: canonical
        names, and sides of modules below the base (``norm.hook_in``), with ``{i}``, ``{next}`` and ``{last}`` as in checks.
        What a check says (two names with one value, a module that is applied to a value) need not be repeated.
    :ivar probe: the kind of input that a probe gives to its models.
    """

    name: str
    model_types: tuple[str, ...] = ()
    anchor: str = "layers"
    names: NameMap = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    checks: tuple[Check, ...] = ()
    equal: tuple[tuple[str, ...], ...] = ()
    probe: Probe = "tokens"

    def matches(self, model: Any) -> bool:
        """True if the model's configuration, or a class that either derives from, says that it is of this family."""
        return any(kind in self.model_types for kind, _ in kinds_of(model))

    def rank(self, model: Any, *, own: bool) -> tuple[int, int] | None:
        """How the family recognises ``model``; None if it does not.

        :param own: True if the model's configuration is its own, and not lent by a model inside of it.
        :returns: how far the kind by which it is recognised is from the nearest, and how surely this very module is meant:
            2 by its class, 1 by a configuration of its own, 0 by one that it lends.
        """
        kinds = [*kinds_of(model)]
        ranks = [rank for rank, (kind, _) in enumerate(kinds) if kind in self.model_types]
        if ranks:
            by_class = any(kinds[rank][1] for rank in ranks)
            return ranks[0], 2 if by_class else int(own)
        return (0, int(own)) if self.matches(model) else None

    def closed_gate(self, name: str, model: Any) -> tuple[Gate, str] | None:
        """The gate that closes the point called ``name``, and why; None if nothing does."""
        for gate in self.gates:
            if gate.covers(name):
                reason = gate.closed(model)
                if reason is not None:
                    return gate, reason
        return None
