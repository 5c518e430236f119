"""From a family's name map to the modules of one model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from hookframe.instrumenting.family import Family, config_of
from hookframe.instrumenting.place import At

__all__ = ["Canonical", "Layout", "plain_path"]

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


@dataclass(frozen=True, slots=True)
class Canonical:
    """One canonical name in one model.

    :ivar module: the full name of the module, in the model as it is.
    :ivar heads: the number of heads, where the place has some.
    """

    name: str
    at: At
    module: str
    heads: int | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a family's modules are in one model.

    :ivar modules: path, without the names of transparent wrappers → the module's full name.
    :ivar base: the path of the base module, with a dot behind it if there is any.
    :ivar layers: the number of layers: layers are numbered below it.
    """

    modules: Mapping[str, str]
    base: str
    layers: int
    config: Any = field(repr=False)

    @classmethod
    def read(cls, model: nn.Module, family: Family, names: Iterable[str]) -> Layout | None:
        """Find the family's base module among the modules called ``names``; None if it is not there."""
        modules = _outermost(names)
        anchors = [path for path in modules if f".{path}".endswith(f".{family.anchor}")]
        if not anchors:
            return None
        base = min(anchors, key=len).removesuffix(family.anchor)
        numbers = [int(part) for path in modules for part in path.split(".") if part.isdigit()]
        return cls(modules, base, 1 + max(numbers, default=-1), config_of(model))

    def find(self, path: str) -> str | None:
        """The full name of the module at ``path`` below the base; None if there is none."""
        return self.modules.get(self.base + path)

    def canonical(self, family: Family) -> Iterator[Canonical]:
        """Every canonical name that the model has."""
        for pattern, places in family.names.items():
            alternatives = (places,) if isinstance(places, At) else tuple(places)
            for number in range(self.layers) if "{i}" in pattern else (0,):
                found = self._first(pattern, alternatives, number)
                if found is not None:
                    yield found

    def _first(self, pattern: str, alternatives: tuple[At, ...], number: int) -> Canonical | None:
        for at in alternatives:
            module = self.find(at.module.replace("{i}", str(number)))
            if module is not None and self.applies(at.when):
                heads = None if at.heads is None else getattr(self.config, at.heads, None)
                return Canonical(pattern.replace("{i}", str(number)), at, module, heads)
        return None

    def applies(self, when: tuple[str, object] | None) -> bool:
        """True if the configuration has what ``when`` asks for."""
        return when is None or getattr(self.config, when[0], None) == when[1]


def plain_path(name: str) -> str:
    """A module's name without the parts that wrappers such as ``torch.compile`` put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _outermost(names: Iterable[str]) -> dict[str, str]:
    """Path → name; a wrapper stands for what it wraps."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(plain_path(name), name)
    return found
