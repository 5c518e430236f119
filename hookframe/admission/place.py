"""What is known of the place that a hook is at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NOWHERE", "Place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One side of one module, or one hook point, with what every model and every family calls it.

    :ivar names: its true names: under each root that contains it, and those of each family that recognises a model around it.
    :ivar others: names that may refuse and never allow: those that a user gave, and those of tensors that are only a part
        of what is seen here, or that pass on less of it.
    :ivar equal: the names of other places that carry the same tensor. An edit there is one here, but for those in ``others``.
    :ivar layer: the layer; None where there is none, or where it cannot be told.
    :ivar families: the families that recognise a model, or a part of one, around or inside of it; sorted.
    :ivar certain: False where a family knows something around it and its canonical name cannot be told, and for a hook point
        that no model has named.
    """

    names: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()
    layer: int | None = None
    families: tuple[str, ...] = ()
    certain: bool = True

    def seen_as(self, name: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names for somebody who calls it ``name``: the true ones, with ``name`` first if it is one, and the others."""
        names = self.names
        if name is None or (names and names[0] == name):
            return names, self.others
        if name in names:
            return (name, *(other for other in names if other != name)), self.others
        return names, (name, *(other for other in self.others if other != name))


NOWHERE = Place(certain=False)
"""The place of a hook point that no model has named."""
