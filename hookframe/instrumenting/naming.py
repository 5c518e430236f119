"""From a family's name map to the modules of one model."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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


@dataclass(frozen=True)
class Layout:
    """Where a family's modules are in one model.

    :ivar modules: path, without the names of transparent wrappers → the module's full name.
    :ivar base: the path of the base module, with a dot behind it if there is any.
    :ivar layers: the number of layers: layers are numbered below it.
    :ivar lists: the paths of the lists of layers below the base.
    """

    modules: Mapping[str, str]
    base: str
    layers: int
    lists: tuple[str, ...]
    config: Any = field(repr=False)

    @classmethod
    def read(cls, model: nn.Module, family: Family, names: Iterable[str], top: str = "") -> Layout | None:
        """Find the family's base module among the modules called ``names``; None if it is not there.

        :param top: the name of ``model`` itself, where it lies inside of another.
        """
        modules = _outermost(names, len(top) + 1 if top else 0)
        anchors = [path for path in modules if f".{path}".endswith(f".{family.anchor}")]
        if not anchors:
            return None
        base = min(anchors, key=len).removesuffix(family.anchor)
        numbers = [int(part) for path in modules for part in path.split(".") if part.isdigit()]
        return cls(modules, base, 1 + max(numbers, default=-1), _lists_of(family), config_of(model))

    def find(self, path: str) -> str | None:
        """The full name of the module at ``path`` below the base; None if there is none."""
        return self.modules.get(self.base + path)

    def layer_of(self, name: str) -> int | None:
        """The number of the layer that the module called ``name`` is, or is in; None if it is in none."""
        path = self._paths.get(name, "")
        starts = (f"{self.base}{layers}" for layers in self.lists)
        below = (path.removeprefix(start).partition(".")[0] for start in starts if path.startswith(start))
        return next((int(number) for number in below if number.isdigit()), None)

    @cached_property
    def _paths(self) -> dict[str, str]:
        return {name: path for path, name in self.modules.items()}

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

    def instances(
        self, names: Sequence[str], module: str | None, known: Container[str]
    ) -> Iterator[tuple[tuple[str, ...], str | None]]:
        """``names`` and ``module`` with the numbers of each layer for which they are all there.

        :param names: with ``{i}`` for the layer, ``{next}`` for the one after it and ``{last}`` for the last.
        :param module: the path of a module below the base, with the same marks; None for none.
        :param known: the names that are there.
        """
        seen = set()
        numbers = range(self.layers)
        ends = [name for name in names if "{last}" in name]
        last = max((i for i in numbers if all(name.replace("{last}", str(i)) in known for name in ends)), default=0)
        for number in numbers:
            marks = {"{i}": number, "{next}": number + 1, "{last}": last}
            filled = tuple(_filled(name, marks) for name in names)
            found = None if module is None else self.find(_filled(module, marks))
            if filled not in seen and (found is None) is (module is None) and all(name in known for name in filled):
                seen.add(filled)
                yield filled, found

    def applies(self, when: tuple[str, object] | None) -> bool:
        """True if the configuration has what ``when`` asks for."""
        return when is None or getattr(self.config, when[0], None) == when[1]


def _filled(pattern: str, marks: Mapping[str, int]) -> str:
    for mark, number in marks.items():
        pattern = pattern.replace(mark, str(number))
    return pattern


def plain_path(name: str) -> str:
    """A module's name without the parts that wrappers such as ``torch.compile`` put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _outermost(names: Iterable[str], start: int) -> dict[str, str]:
    """Path → name; a wrapper stands for what it wraps. Paths begin at this place of the names."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(plain_path(name[start:]), name)
    return found


def _lists_of(family: Family) -> tuple[str, ...]:
    places = (at for at in family.names.values())
    paths = (at.module for each in places for at in ((each,) if isinstance(each, At) else each))
    return tuple(sorted({path.partition("{i}")[0] for path in paths if "{i}" in path} | {f"{family.anchor}."}))
