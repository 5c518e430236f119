"""Mixtures of experts on the layout of llama: mixtral, qwen2-moe, qwen3-moe and olmoe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hookframe.families import Check, Equation, Family, Mixes, Turns, out, relative
from hookframe_families import llama
from hookframe_families.gates import EAGER_ATTENTION
from hookframe_families.llama import ATTN, BLOCK, MLP

__all__ = ["MIXTURES"]

_ROUTING = f"{BLOCK}.mlp.hook_router_logits"
_WEIGHTS, _INDICES = f"{BLOCK}.mlp.hook_expert_weights", f"{BLOCK}.mlp.hook_expert_indices"
_EXPERTS, _SHARED, _SHARE = (
    f"{BLOCK}.mlp.hook_{x}" for x in ("experts_out", "shared_expert_out", "shared_expert_gate")
)

_NAMES = {
    # rows are positions of all texts of the batch, one after the other: [batch * pos, ...]
    _ROUTING: out(f"{MLP}.gate", item=0, pos_dim=None),
    _WEIGHTS: out(f"{MLP}.gate", item=1, pos_dim=None),
    _INDICES: out(f"{MLP}.gate", item=2, pos_dim=None),
    _EXPERTS: out(f"{MLP}.experts", pos_dim=None),
}
_SHARED_NAMES = {
    _SHARED: out(f"{MLP}.shared_expert", pos_dim=None),
    _SHARE: out(f"{MLP}.shared_expert_gate", pos_dim=None),
}
_NORMED_TOGETHER = {
    f"{BLOCK}.attn.q_norm.hook_normalized": out(f"{ATTN}.q_norm", heads="num_attention_heads"),
    f"{BLOCK}.attn.k_norm.hook_normalized": out(f"{ATTN}.k_norm", heads="num_key_value_heads"),
}


@dataclass(frozen=True, slots=True)
class RoutesBy(Equation):
    """The logits are what the router's weight makes of the normed stream."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Multiply."""
        logits, normed = values
        return relative(logits, normed.flatten(0, 1) @ module.weight.T)


@dataclass(frozen=True, slots=True)
class ChoosesBest(Equation):
    """The chosen experts are those with the largest logits, weighted in proportion to their probabilities."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Choose, and compare the proportions."""
        weights, indices, logits = values
        best = logits.float().softmax(-1).topk(indices.shape[-1])
        wrong = float((best.indices != indices).any())
        return max(
            wrong, relative(weights / weights.sum(-1, keepdim=True), best.values / best.values.sum(-1, keepdim=True))
        )


@dataclass(frozen=True, slots=True)
class AddsExperts(Equation):
    """What the block returns is what its experts return, and a share of what the shared expert does, if it has one."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Add up."""
        outcome, experts, *shared = values
        total = experts + shared[1].sigmoid() * shared[0] if shared else experts
        return relative(outcome.flatten(0, 1), total)


def _unless_clipped(check: Check) -> Check:
    """What holds between two points with queries, keys or values does not where these are clipped in between."""
    return replace(check, when=("clip_qkv", None)) if isinstance(check, (Mixes, Turns)) else check


_CHECKS = (
    *llama.SECOND_NORM,
    RoutesBy((_ROUTING, f"{BLOCK}.ln2.hook_normalized"), f"{MLP}.gate"),
    ChoosesBest((_WEIGHTS, _INDICES, _ROUTING)),
)
_ADDS = AddsExperts((f"{BLOCK}.hook_mlp_out", _EXPERTS))
MIXTURES = (
    Family(
        name="mixtral",
        model_types=("mixtral",),
        names=llama.OUTSIDE | llama.STREAM | llama.ATTENTION | _NAMES,
        gates=(EAGER_ATTENTION,),
        equal=llama.FINAL_NORM,
        checks=(*llama.checks(), *_CHECKS, _ADDS),
    ),
    Family(
        name="qwen2_moe",
        model_types=("qwen2_moe",),
        names=llama.OUTSIDE | llama.STREAM | llama.ATTENTION | llama.GATED_MLP | _NAMES | _SHARED_NAMES,
        gates=(EAGER_ATTENTION,),
        equal=llama.FINAL_NORM,
        checks=(
            *llama.checks(),
            *_CHECKS,
            *llama.gated_mlp(),
            AddsExperts((f"{BLOCK}.hook_mlp_out", _EXPERTS, _SHARED, _SHARE)),
        ),
    ),
    Family(
        name="qwen3_moe",
        model_types=("qwen3_moe",),
        names=llama.OUTSIDE | llama.STREAM | llama.ATTENTION | llama.NORMED_HEADS | llama.GATED_MLP | _NAMES,
        gates=(EAGER_ATTENTION,),
        equal=llama.FINAL_NORM,
        checks=(*llama.checks(normed_heads=True), *_CHECKS, *llama.gated_mlp(), _ADDS),
    ),
    Family(
        name="olmoe",
        model_types=("olmoe",),
        names=llama.OUTSIDE | llama.STREAM | llama.ATTENTION | _NORMED_TOGETHER | _NAMES,
        gates=(EAGER_ATTENTION,),
        equal=llama.FINAL_NORM,
        checks=(*map(_unless_clipped, llama.checks(normed_heads=True, per_head=False)), *_CHECKS, _ADDS),
    ),
)
