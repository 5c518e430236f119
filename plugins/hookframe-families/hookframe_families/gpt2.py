"""gpt2: queries, keys and values come from one projection, one after the other."""

from __future__ import annotations

from hookframe.families import Applies, Family, Part, Sums, inner, into, out
from hookframe_families import equations as eq
from hookframe_families.gates import EAGER_ATTENTION

__all__ = ["GPT2"]

_LAYER, _ATTN, _MLP, _BLOCK = "h.{i}", "h.{i}.attn", "h.{i}.mlp", "blocks.{i}"
_FUSED = {x: Part(place, 3) for place, x in enumerate("qkv")}

_NAMES = {
    "hook_embed": out("wte"),
    "hook_pos_embed": out("wpe"),
    f"{_BLOCK}.hook_resid_pre": into(_LAYER),
    f"{_BLOCK}.ln1.hook_normalized": out(f"{_LAYER}.ln_1"),
    **{
        f"{_BLOCK}.attn.hook_{x}": out(f"{_ATTN}.c_attn", part=part, heads="num_attention_heads")
        for x, part in _FUSED.items()
    },
    f"{_BLOCK}.attn.hook_attn_scores": inner(_ATTN, "scores"),
    f"{_BLOCK}.attn.hook_pattern": inner(_ATTN, "pattern"),
    f"{_BLOCK}.attn.hook_z": into(f"{_ATTN}.c_proj", heads="num_attention_heads"),
    f"{_BLOCK}.hook_attn_out": out(_ATTN),
    f"{_BLOCK}.hook_resid_mid": into(f"{_LAYER}.ln_2"),
    f"{_BLOCK}.ln2.hook_normalized": out(f"{_LAYER}.ln_2"),
    f"{_BLOCK}.mlp.hook_pre": out(f"{_MLP}.c_fc"),
    f"{_BLOCK}.mlp.hook_post": into(f"{_MLP}.c_proj"),
    f"{_BLOCK}.hook_mlp_out": out(_MLP),
    f"{_BLOCK}.hook_resid_post": out(_LAYER),
    "ln_final.hook_normalized": out("ln_f"),
}

GPT2 = Family(
    name="gpt2",
    model_types=("gpt2",),
    anchor="h",
    names=_NAMES,
    gates=(EAGER_ATTENTION,),
    equal=(("blocks.{last}.hook_resid_post", "ln_f.hook_in"),),
    checks=(
        Sums(("blocks.0.hook_resid_pre", "hook_embed", "hook_pos_embed")),
        *eq.prenorm_residuals(),
        *eq.norm(f"{_BLOCK}.ln1.hook_normalized", f"{_BLOCK}.hook_resid_pre", f"{_LAYER}.ln_1"),
        *eq.norm(f"{_BLOCK}.ln2.hook_normalized", f"{_BLOCK}.hook_resid_mid", f"{_LAYER}.ln_2"),
        *eq.norm("ln_final.hook_normalized", "blocks.{last}.hook_resid_post", "ln_f"),
        *eq.attention(f"{_BLOCK}.attn", f"{_BLOCK}.hook_attn_out", f"{_ATTN}.c_proj"),
        *eq.unrotated(f"{_BLOCK}.attn"),
        *(
            eq.AppliesFused((f"{_BLOCK}.attn.hook_{x}", f"{_BLOCK}.ln1.hook_normalized"), f"{_ATTN}.c_attn", part=part)
            for x, part in _FUSED.items()
        ),
        Applies((f"{_BLOCK}.mlp.hook_pre", f"{_BLOCK}.ln2.hook_normalized"), f"{_MLP}.c_fc"),
        Applies((f"{_BLOCK}.mlp.hook_post", f"{_BLOCK}.mlp.hook_pre"), f"{_MLP}.act"),
        Applies((f"{_BLOCK}.hook_mlp_out", f"{_BLOCK}.mlp.hook_post"), f"{_MLP}.c_proj"),
    ),
)
