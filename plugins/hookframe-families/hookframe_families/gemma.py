"""gemma, gemma 2 and gemma 3: the layout of llama with norms that add one to their weight, from gemma 2 on twice as many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hookframe.families import Check, Family, Scores, into, out
from hookframe_families import equations as eq
from hookframe_families import llama
from hookframe_families.gates import EAGER_ATTENTION
from hookframe_families.llama import ATTN, BLOCK, LAYER, MLP

__all__ = ["GEMMA", "GEMMA2", "GEMMA3"]

_SECOND = f"{BLOCK}.ln2.hook_normalized", f"{BLOCK}.hook_resid_mid"

GEMMA = Family(
    name="gemma",
    model_types=("gemma",),
    names=llama.OUTSIDE | llama.STREAM | llama.ATTENTION | llama.GATED_MLP,
    gates=(EAGER_ATTENTION,),
    equal=llama.FINAL_NORM,
    checks=(
        *llama.checks(shift=1.0),
        *llama.gated_mlp(),
        *eq.norm(*_SECOND, f"{LAYER}.post_attention_layernorm", shift=1.0),
    ),
)

_FOUR_NORMS = llama.STREAM | {
    f"{BLOCK}.hook_resid_mid": into(f"{LAYER}.pre_feedforward_layernorm"),
    f"{BLOCK}.ln2.hook_normalized": out(f"{LAYER}.pre_feedforward_layernorm"),
    f"{BLOCK}.attn.hook_out": out(ATTN),  # before the norm behind attention; hook_attn_out is what is added
    f"{BLOCK}.hook_attn_out": out(f"{LAYER}.post_attention_layernorm"),
    f"{BLOCK}.ln1_post.hook_normalized": out(f"{LAYER}.post_attention_layernorm"),
    f"{BLOCK}.mlp.hook_out": out(MLP),
    f"{BLOCK}.hook_mlp_out": out(f"{LAYER}.post_feedforward_layernorm"),
    f"{BLOCK}.ln2_post.hook_normalized": out(f"{LAYER}.post_feedforward_layernorm"),
}
_NORMED_HEADS = {f"{BLOCK}.attn.{x}_norm.hook_normalized": out(f"{ATTN}.{x}_norm", heads_first=True) for x in "qk"}


@dataclass(frozen=True, slots=True)
class CappedScores(Scores):
    """As :class:`Scores`, where ``module`` bends large scores by a soft cap."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Straighten the scores that no mask hides, and compare."""
        scores, *others = values
        cap = module.attn_logit_softcapping
        if cap is not None:
            scores = scores.where(scores < -cap, (scores / cap).clamp(-1, 1).atanh() * cap)
        return Scores.deviation(self, (scores, *others), module)


_MET = tuple(f"{BLOCK}.attn.hook_{part}" for part in ("attn_scores", "rot_q", "rot_k"))
_CAPPED = CappedScores(_MET, ATTN)


def _checks(*, normed_heads: bool) -> tuple[Check, ...]:
    first, second = f"{LAYER}.post_attention_layernorm", f"{LAYER}.post_feedforward_layernorm"
    return (
        *llama.checks(shift=1.0, normed_heads=normed_heads, attn_out="attn.hook_out"),
        *llama.gated_mlp("mlp.hook_out"),
        *eq.norm(*_SECOND, f"{LAYER}.pre_feedforward_layernorm", shift=1.0),
        eq.projected(f"{BLOCK}.ln1_post.hook_normalized", f"{BLOCK}.attn.hook_out", first),
        eq.projected(f"{BLOCK}.ln2_post.hook_normalized", f"{BLOCK}.mlp.hook_out", second),
    )


GEMMA2 = Family(
    name="gemma2",
    model_types=("gemma2",),
    names=llama.OUTSIDE | _FOUR_NORMS | llama.ATTENTION | llama.GATED_MLP,
    gates=(EAGER_ATTENTION,),
    equal=llama.FINAL_NORM,
    checks=(*(c for c in _checks(normed_heads=False) if not isinstance(c, Scores)), _CAPPED),
)
GEMMA3 = Family(
    name="gemma3",
    model_types=("gemma3_text",),
    names=llama.OUTSIDE | _FOUR_NORMS | llama.ATTENTION | _NORMED_HEADS | llama.GATED_MLP,
    gates=(EAGER_ATTENTION,),
    equal=llama.FINAL_NORM,
    checks=_checks(normed_heads=True),
)
