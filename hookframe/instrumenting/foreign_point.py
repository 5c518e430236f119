"""A hook point of another library that a model brings along: it is taken over as a point here, under its own names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from hookframe.instrumenting.module_point import ModulePoint

if TYPE_CHECKING:
    from torch import nn

    from hookframe.admission.place import Place
    from hookframe.instrumenting.site import Site

__all__ = ["ForeignPoint"]

_SCORES = ("hook_pattern", "hook_attn_scores")


class _TheirConversion:
    """The conversion that another library's point has at the moment; it can change at any time, and nobody tells."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def convert(self, tensor: Any) -> Any:
        theirs = getattr(self._site.module, "hook_conversion", None)
        return tensor if theirs is None else theirs.convert(tensor)

    def revert(self, tensor: Any) -> Any:
        theirs = getattr(self._site.module, "hook_conversion", None)
        return tensor if theirs is None else theirs.revert(tensor)


class ForeignPoint(ModulePoint):
    """What passes through a hook point of another library.

    It has that point's conversion, scale and position dimension. The other library's hooks stay on the point, and see what
    the hooks here made of the tensor.
    """

    def move(self, site: Site, module_name: str, parent: nn.Module | None) -> None:
        """Record where the point is now."""
        super().move(site, module_name, parent)
        self.hook_conversion = _TheirConversion(site)
        self.pos_dim = _position(site.module)

    def becomes(self, state: Literal["active", "idle"]) -> None:
        """Take over the scale of gradients that the other library's point has now."""
        self.backward_scale = getattr(self.site.module, "backward_scale", 1.0)
        super().becomes(state)

    def find_place(self) -> Place:
        """The place; it is certain if it is known under the name that the other library gave the point."""
        found, given = super().find_place(), getattr(self.site.module, "name", None)
        if given is None:
            return found
        if given in found.names:
            return replace(found, certain=True)
        return replace(found, others=tuple(dict.fromkeys([*found.others, given])), certain=False)


def _position(point: Any) -> int | None:
    """The dimension of the position: where points can tell it and this one does not, it is the second, except for scores."""
    told: int | None = getattr(point, "pos_dim", None)
    if told is not None or not hasattr(point, "pos_dim"):
        return told
    return -2 if str(point.name).endswith(_SCORES) else 1
