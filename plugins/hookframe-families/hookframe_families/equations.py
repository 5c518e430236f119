"""Checks that several families share, made from the names they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hookframe.families import (
    Applies,
    Check,
    Equation,
    Mixes,
    Part,
    RowsSumToOne,
    Scores,
    SumOfHeads,
    Sums,
    Turns,
    UnitScale,
    relative,
)

__all__ = [
    "Gates",
    "Patches",
    "SumsNormed",
    "attention",
    "norm",
    "per_head",
    "prenorm_residuals",
    "projected",
    "rotated",
    "unrotated",
]


def prenorm_residuals(block: str = "blocks.{i}", following: str = "blocks.{next}") -> tuple[Check, ...]:
    """A residual stream to which attention and MLP add."""
    return (
        Sums((f"{block}.hook_resid_mid", f"{block}.hook_resid_pre", f"{block}.hook_attn_out")),
        Sums((f"{block}.hook_resid_post", f"{block}.hook_resid_mid", f"{block}.hook_mlp_out")),
        Sums((f"{following}.hook_resid_pre", f"{block}.hook_resid_post")),
    )


def attention(attn: str, output: str, module: str) -> tuple[Check, ...]:
    """Pattern, mixed values, and what each head adds to ``output`` through the linear ``module``."""
    return (
        RowsSumToOne((f"{attn}.hook_pattern", f"{attn}.hook_attn_scores")),
        Mixes((f"{attn}.hook_z", f"{attn}.hook_pattern", f"{attn}.hook_v")),
        SumOfHeads((output, f"{attn}.hook_z"), module),
    )


def rotated(attn: str, query: str = "hook_q", key: str = "hook_k") -> tuple[Check, ...]:
    """Queries and keys are rotated by their positions before they meet."""
    return (
        Turns((f"{attn}.hook_rot_q", f"{attn}.{query}")),
        Turns((f"{attn}.hook_rot_k", f"{attn}.{key}")),
        Scores((f"{attn}.hook_attn_scores", f"{attn}.hook_rot_q", f"{attn}.hook_rot_k")),
    )


def unrotated(attn: str, *, biased: bool = False) -> tuple[Check, ...]:
    """Queries and keys meet as they are."""
    return (Scores((f"{attn}.hook_attn_scores", f"{attn}.hook_q", f"{attn}.hook_k"), biased=biased),)


def projected(outcome: str, given: str, module: str) -> Check:
    """``outcome`` is what ``module`` makes of ``given``."""
    return Applies((outcome, given), module)


def norm(name: str, given: str, module: str, *, shift: float = 0.0) -> tuple[Check, ...]:
    """``name`` is what the norm ``module`` makes of ``given``, and has a scale of one."""
    return (Applies((name, given), module), UnitScale((name,), module, shift=shift))


def per_head(outcome: str, given: str, module: str) -> Check:
    """``outcome`` is what ``module`` makes of each head of ``given``."""
    return Applies((outcome, given), module, joined=False)


@dataclass(frozen=True, slots=True)
class Gates(Equation):
    """The first of ``names`` is the third, times what the activation function ``module`` makes of the second."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Multiply."""
        outcome, gate, linear = values
        return relative(outcome, module(gate) * linear)


_WHOLE = Part(0, 1)


@dataclass(frozen=True, slots=True)
class AppliesFused(Equation):
    """The first of ``names``, ``[batch, pos, head, d_head]``, is one part of what ``module`` makes of the second.

    :ivar part: which part, as in the name map.
    """

    part: Part = _WHOLE

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Call the module, and pick the part."""
        outcome, given = values
        if outcome.dim() != 4:
            return float("inf")
        heads, fused = outcome.shape[2], module(given)
        if self.part.per_head:
            parts = fused.reshape(*fused.shape[:-1], heads, self.part.count, -1).unbind(-2)
        else:
            parts = fused.reshape(*fused.shape[:-1], self.part.count, heads, -1).unbind(-3)
        return relative(outcome, parts[self.part.index])


@dataclass(frozen=True, slots=True)
class SumsNormed(Equation):
    """The first of ``names`` is what the norm ``module`` makes of the sum of the others."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Add up and normalise."""
        outcome, *parts = values
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return relative(outcome, module(total))


@dataclass(frozen=True, slots=True)
class Patches(Equation):
    """Behind the first position, the first of ``names`` is the second and the module's position embeddings."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Add up."""
        full, patches = values
        return relative(full[:, 1:], patches + module.position_embeddings[:, 1:])
