"""Hook points that were found, as names for the model's verbs."""

from __future__ import annotations

from collections.abc import Collection

from hookframe.core.model.names import Selected

__all__ = ["names_of"]


def names_of(selected: Collection[Selected]) -> tuple[str, ...]:
    """The names of points for the verbs of the model, which remember whether a person wrote them."""
    return tuple([point.asked for point in selected])
