"""vit: patches of an image as positions, the class token first."""

from __future__ import annotations

from hookframe.families import Applies, Family, Sums, inner, into, out
from hookframe_families import equations as eq
from hookframe_families.gates import EAGER_ATTENTION

__all__ = ["VIT"]

_LAYER, _ATTN, _MLP, _BLOCK = "layers.{i}", "layers.{i}.attention", "layers.{i}.mlp", "blocks.{i}"

_NAMES = {
    "hook_embed": out("embeddings.patch_embeddings"),
    "hook_full_embed": out("embeddings"),
    f"{_BLOCK}.hook_resid_pre": into(_LAYER),
    f"{_BLOCK}.ln1.hook_normalized": out(f"{_LAYER}.layernorm_before"),
    **{f"{_BLOCK}.attn.hook_{name}": out(f"{_ATTN}.{name}_proj", heads="num_attention_heads") for name in "qkv"},
    f"{_BLOCK}.attn.hook_attn_scores": inner(_ATTN, "scores"),
    f"{_BLOCK}.attn.hook_pattern": inner(_ATTN, "pattern"),
    f"{_BLOCK}.attn.hook_z": into(f"{_ATTN}.o_proj", heads="num_attention_heads"),
    f"{_BLOCK}.hook_attn_out": out(_ATTN),
    f"{_BLOCK}.hook_resid_mid": into(f"{_LAYER}.layernorm_after"),
    f"{_BLOCK}.ln2.hook_normalized": out(f"{_LAYER}.layernorm_after"),
    f"{_BLOCK}.mlp.hook_pre": out(f"{_MLP}.fc1"),
    f"{_BLOCK}.mlp.hook_post": into(f"{_MLP}.fc2"),
    f"{_BLOCK}.hook_mlp_out": out(_MLP),
    f"{_BLOCK}.hook_resid_post": out(_LAYER),
    "ln_final.hook_normalized": out("layernorm"),
}

VIT = Family(
    name="vit",
    model_types=("vit",),
    names=_NAMES,
    gates=(EAGER_ATTENTION,),
    equal=(("blocks.{last}.hook_resid_post", "layernorm.hook_in"),),
    probe="pixels",
    checks=(
        Sums(("blocks.0.hook_resid_pre", "hook_full_embed")),
        eq.Patches(("hook_full_embed", "hook_embed"), "embeddings"),
        *eq.prenorm_residuals(),
        *eq.norm(f"{_BLOCK}.ln1.hook_normalized", f"{_BLOCK}.hook_resid_pre", f"{_LAYER}.layernorm_before"),
        *eq.norm(f"{_BLOCK}.ln2.hook_normalized", f"{_BLOCK}.hook_resid_mid", f"{_LAYER}.layernorm_after"),
        *eq.norm("ln_final.hook_normalized", "blocks.{last}.hook_resid_post", "layernorm"),
        *eq.attention(f"{_BLOCK}.attn", f"{_BLOCK}.hook_attn_out", f"{_ATTN}.o_proj"),
        *eq.unrotated(f"{_BLOCK}.attn"),
        Applies((f"{_BLOCK}.mlp.hook_pre", f"{_BLOCK}.ln2.hook_normalized"), f"{_MLP}.fc1"),
        Applies((f"{_BLOCK}.mlp.hook_post", f"{_BLOCK}.mlp.hook_pre"), f"{_MLP}.activation_fn"),
        Applies((f"{_BLOCK}.hook_mlp_out", f"{_BLOCK}.mlp.hook_post"), f"{_MLP}.fc2"),
    ),
)
