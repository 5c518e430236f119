"""The words of a policy: places, modes, layers, operators, and the facts that a condition can speak of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Literal, TypeAlias

from hookframe.admission.objection import Action

__all__ = [
    "FACTS",
    "GIVEN_AND_TRUE",
    "NAME_FACTS",
    "OPERATORS",
    "PLACES",
    "POINT_FACTS",
    "FactKind",
    "FactType",
    "LayerKind",
    "Mode",
    "Place",
    "Scalar",
    "Value",
    "fact",
]

Place: TypeAlias = Literal["add", "cache", "device", "reset", "run"]
PLACES: tuple[Place, ...] = ("add", "cache", "device", "reset", "run")
"""Where a rule is asked: adding hooks, caching, choosing a device, removing protected hooks, and after a run."""

Scalar: TypeAlias = str | bool | int | float
Value: TypeAlias = Scalar | tuple[str, ...] | None
"""What a fact can be; None if it is absent."""


class Mode(StrEnum):
    """How seriously a rule is taken, strictest first."""

    ENFORCE = "enforce"
    """As the rule's action says."""
    WARN = "warn"
    """Nothing is refused: what would be is warned of."""
    AUDIT = "audit"
    """Nothing is refused or said: what would be is recorded."""
    OFF = "off"
    """The rule is not asked."""

    @property
    def strictness(self) -> int:
        """Higher is stricter."""
        return -list(Mode).index(self)

    def applied(self, action: Action) -> Action:
        """What an action comes to in this mode."""
        ceiling = {Mode.WARN: Action.WARN, Mode.AUDIT: Action.AUDIT}.get(self)
        order = list(Action)
        return action if ceiling is None or order.index(action) >= order.index(ceiling) else ceiling


class LayerKind(IntEnum):
    """Where a policy comes from, strongest first."""

    MACHINE = 0
    ORGANISATION = 1
    PROJECT = 2
    USER = 3
    SESSION = 4

    @property
    def label(self) -> str:
        """The layer's name in files and messages."""
        return self.name.lower()

    @property
    def managed(self) -> bool:
        """True for the layers that the person who runs the code does not write."""
        return self in (LayerKind.MACHINE, LayerKind.ORGANISATION)


FactType: TypeAlias = Literal["text", "flag", "number", "version", "names", "any"]

OPERATORS: dict[str, tuple[FactType, ...]] = {
    "eq": ("text", "flag", "number", "version", "names", "any"),
    "ne": ("text", "flag", "number", "version", "names", "any"),
    "in": ("text", "number", "names", "any"),
    "not_in": ("text", "number", "names", "any"),
    "lt": ("number", "version", "any"),
    "le": ("number", "version", "any"),
    "gt": ("number", "version", "any"),
    "ge": ("number", "version", "any"),
    "glob": ("text", "names", "any"),
    "exists": ("text", "flag", "number", "version", "names", "any"),
}
"""Each operator, and the types of facts that it goes with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactKind:
    """One declared fact.

    :ivar path: its dotted name; one that ends in ``.*`` stands for every name below.
    :ivar places: where it can be known.
    :ivar each: True for a list of different things, each of which counts by itself; False for several names of one thing.
    :ivar about: what it says, as a phrase.
    """

    path: str
    type: FactType
    places: tuple[Place, ...] = PLACES
    each: bool = False
    about: str

    @property
    def doubtful(self) -> bool:
        """True if there are models of which it cannot be told."""
        return self.path in _DOUBTFUL


GIVEN_AND_TRUE = {"request.point": "request.names", "request.point_exactly": "request.names_exactly"}
"""Facts with every name of a hook's place → those without the names that a user gave it."""
NAME_FACTS = (*GIVEN_AND_TRUE, *GIVEN_AND_TRUE.values())
"""The facts that name a hook's place."""
POINT_FACTS = (*NAME_FACTS, "request.points", "request.never_fired")
"""The facts that name points."""
_DOUBTFUL = frozenset({*NAME_FACTS, "request.layer", "family", "model.cfg.*", "model.config.*"})


def _kinds(places: Iterable[Place], *rows: tuple[str, FactType, str]) -> list[FactKind]:
    return [FactKind(path=path, type=kind, places=tuple(places), about=about) for path, kind, about in rows]


_DECLARED = [
    *_kinds(
        ("add",),
        ("request.point", "names", "every name of the place and of its equals, and the names that a user gave it"),
        ("request.names", "names", "every name of the place and of its equals, without those that a user gave it"),
        ("request.equal", "names", "the names of other places that carry the same tensor, as families say it"),
        ("request.point_exactly", "names", "as request.point, without the places that carry the same tensor"),
        ("request.names_exactly", "names", "as request.names, without the places that carry the same tensor"),
        ("request.layer", "number", "the layer that the place is in, as its family says; absent if it is in none"),
        ("request.certain", "flag", "false if the canonical name of the place cannot be told"),
        ("request.lasting", "flag", "whether the hook stays when the operation that attaches it is over"),
        ("request.direction", "text", "fwd or bwd"),
        ("request.effect", "text", "read or edit"),
        ("request.permanent", "flag", "whether ordinary resets leave the hook alone"),
        ("request.prepend", "flag", "whether it goes before the hooks already there"),
        ("request.exact", "flag", "whether the point was asked for by its name, and not by a filter"),
        ("request.level", "number", "the nesting level of its context"),
        ("request.caches", "flag", "whether the function stores what it sees in a cache"),
        ("request.function.name", "text", "the function's module and qualified name"),
        ("request.function.module", "text", "the module that defines the function"),
        ("request.function.qualname", "text", "the function's qualified name"),
        ("request.function.distribution", "text", "the installed distribution that the function comes from"),
        ("request.function.digest", "text", "the digest of the function's code"),
    ),
    *_kinds(
        ("cache",),
        ("request.gradients", "flag", "whether gradients are cached as well"),
        (
            "request.estimated_bytes",
            "number",
            "bytes that the cache will hold, where they are estimated: hookframe capture, estimate(), capture(max_bytes=)",
        ),
    ),
    *_kinds(("device",), ("request.purpose", "text", "model or cache")),
    *_kinds(
        ("reset",),
        ("request.permanent_hooks", "number", "how many permanent hooks would go"),
        ("request.owned_hooks", "number", "how many hooks of open contexts would go"),
    ),
    *_kinds(
        ("run",),
        ("request.bytes_cached", "number", "bytes that the operation cached"),
        ("request.never_fired_count", "number", "how many hooks at exactly named points never ran"),
        ("request.unmanaged_count", "number", "how many modules carry torch hooks past admission"),
    ),
    FactKind(path="request.points", type="names", places=("cache", "reset"), each=True, about="the points' names"),
    FactKind(
        path="request.never_fired",
        type="names",
        places=("run",),
        each=True,
        about="exactly named points whose hook never ran",
    ),
    FactKind(
        path="request.unmanaged",
        type="names",
        places=("run",),
        each=True,
        about="modules with torch hooks past admission",
    ),
    *_kinds(("cache", "reset"), ("request.points_count", "number", "how many points")),
    *_kinds(
        PLACES,
        ("request.route", "text", "the public way by which the request came"),
        ("model.class", "text", "the name of the model's class"),
        ("model.module", "text", "the module that defines the model's class"),
        ("model.configured", "flag", "whether the model has a cfg or a config"),
        ("model.training", "flag", "whether the model is in training mode"),
        ("model.cfg.*", "any", "a number, string or flag of the model's cfg"),
        ("model.config.*", "any", "a number, string or flag of the model's config"),
        ("device.type", "text", "the kind of device: that chosen, else that of the model"),
        ("device.index", "number", "its number, where it has one"),
        ("torch.version", "version", "the installed torch"),
        ("hookframe.version", "version", "this hookframe"),
        ("python.version", "version", "the running Python"),
        ("platform.system", "text", "Linux, Darwin or Windows"),
        ("env.*", "text", "an environment variable that the policy lists in facts.env"),
    ),
    FactKind(path="family", type="names", each=True, about="the families that recognise the model, or a part of it"),
]
FACTS: dict[str, FactKind] = {kind.path: kind for kind in _DECLARED}
"""Every declared fact by its path."""
_OPEN = tuple(path[:-1] for path in FACTS if path.endswith(".*"))


def fact(path: str) -> FactKind | None:
    """The declaration that ``path`` falls under; None if there is none."""
    known = FACTS.get(path)
    if known is not None and not path.endswith(".*"):
        return known
    return next((FACTS[prefix + "*"] for prefix in _OPEN if path.startswith(prefix) and len(path) > len(prefix)), None)
