"""Points that a model serves only when it was loaded or configured for them, and what opens them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hookframe.families import Gate

__all__ = ["EAGER_ATTENTION", "FlagOff", "flag"]

_EAGER = ("eager", "hookframe-eager")


def not_eager(model: Any) -> str | None:
    """Why the inside of the model's attention cannot be seen; None if it can."""
    used = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if used in _EAGER:
        return None
    return f"attention is computed by {used!r}, which does not show what it computes on the way"


EAGER_ATTENTION = Gate(
    rule="needs-eager-attention",
    points=("*.hook_pattern", "*.hook_attn_scores", "*.hook_rot_q", "*.hook_rot_k"),
    closed=not_eager,
    remedy="load the model with attn_implementation='eager', or call model.set_attn_implementation('eager')",
)


@dataclass(frozen=True, slots=True)
class FlagOff:
    """Says that a flag of ``model.cfg`` is off."""

    name: str

    def __call__(self, model: Any) -> str | None:
        """The reason, None if the flag is on or not there."""
        return f"cfg.{self.name} is off" if getattr(getattr(model, "cfg", None), self.name, None) is False else None


def flag(name: str, *points: str, remedy: str) -> Gate:
    """A gate that is closed while ``cfg.<name>`` is False."""
    closed: Callable[[Any], str | None] = FlagOff(name)
    return Gate(rule=name.replace("_", "-"), points=points, closed=closed, remedy=remedy)
