"""One family out of what several packages say of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from hookframe.errors import FamilyConflict
from hookframe.instrumenting.family import Family
from hookframe.instrumenting.place import At

T = TypeVar("T")

__all__ = ["FamilyOfSeveral", "added_up"]

_DEFAULTS = {part.name: part.default for part in fields(Family)}


@dataclass(frozen=True, kw_only=True)
class FamilyOfSeveral(Family):
    """A family that several packages describe: it has the names, gates and checks of all, and recognises what one of them does.

    :ivar parts: what each package says, with the package's name.
    """

    parts: tuple[tuple[str, Family], ...] = ()

    def matches(self, model: Any) -> bool:
        """True if one of the parts recognises ``model``."""
        return any(part.matches(model) for _, part in self.parts)

    def rank(self, model: Any, *, own: bool) -> tuple[int, int] | None:
        """As the part that recognises ``model`` most closely."""
        found = (part.rank(model, own=own) for _, part in self.parts)
        return min((rank for rank in found if rank is not None), default=None)


def added_up(parts: Sequence[tuple[str, Family]]) -> Family:
    """One family out of all ``parts``, which have one name; a single part as it is.

    :param parts: what each package says, with the package's name.
    :raises FamilyConflict: if two of them contradict each other.
    """
    families = list({id(part): part for _, part in parts}.values())
    if len(families) == 1:
        return families[0]
    names: dict[str, At | Sequence[At]] = {}
    said_by: dict[str, str] = {}
    for package, part in parts:
        for name, place in part.names.items():
            said_by.setdefault(name, package)
            if _places(names.get(name, place)) != _places(place):
                raise FamilyConflict(
                    f"{said_by[name]} and {package} contradict each other in the family {part.name!r}: {name!r} is "
                    f"{_shown(names[name])} for {said_by[name]}, and {_shown(place)} for {package}; "
                    "rename it in one of them, or leave one of the plugins out"
                )
            names[name] = place
    return FamilyOfSeveral(
        name=families[0].name,
        model_types=tuple(dict.fromkeys(kind for part in families for kind in part.model_types)),
        anchor=_one(parts, "anchor"),
        names=names,
        gates=_once(gate for part in families for gate in part.gates),
        checks=_once(check for part in families for check in part.checks),
        equal=_once(group for part in families for group in part.equal),
        probe=_one(parts, "probe"),
        parts=tuple(parts),
    )


def _once(items: Iterable[T]) -> tuple[T, ...]:
    found: list[T] = []
    for item in items:
        found += [] if item in found else [item]
    return tuple(found)


def _one(parts: Sequence[tuple[str, Family]], what: str) -> Any:
    """The value that a part gives to ``what``; its default if none does."""
    said = {getattr(part, what): package for package, part in parts if getattr(part, what) != _DEFAULTS[what]}
    if len(said) > 1:
        (first, one), (second, other) = [*said.items()][:2]
        raise FamilyConflict(
            f"{one} and {other} contradict each other in the family {parts[0][1].name!r}: its {what} is {first!r} for {one}, "
            f"and {second!r} for {other}"
        )
    return next(iter(said), _DEFAULTS[what])


def _places(place: At | Sequence[At]) -> tuple[At, ...]:
    return (place,) if isinstance(place, At) else tuple(place)


def _shown(place: At | Sequence[At]) -> str:
    return " or ".join(
        f"inside of {at.module}: {at.inside}" if at.inside else f"{at.side} of {at.module}" for at in _places(place)
    )
