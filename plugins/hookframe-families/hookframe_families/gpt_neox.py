"""gpt_neox (Pythia): queries, keys and values come from one projection, head by head; attention and MLP may run side by side."""

from __future__ import annotations

from hookframe.families import Applies, Family, Part, Sums, inner, into, out
from hookframe_families import equations as eq
from hookframe_families.gates import EAGER_ATTENTION

__all__ = ["GPT_NEOX"]

_LAYER, _ATTN, _MLP, _BLOCK = "layers.{i}", "layers.{i}.attention", "layers.{i}.mlp", "blocks.{i}"
_SIDE_BY_SIDE, _ONE_BY_ONE = ("use_parallel_residual", True), ("use_parallel_residual", False)
_PRE, _MID, _POST = (f"{_BLOCK}.hook_resid_{part}" for part in ("pre", "mid", "post"))
_FUSED = {x: Part(place, 3, per_head=True) for place, x in enumerate("qkv")}

_NAMES = {
    "hook_embed": out("embed_in"),
    _PRE: into(_LAYER),
    f"{_BLOCK}.ln1.hook_normalized": out(f"{_LAYER}.input_layernorm"),
    **{
        f"{_BLOCK}.attn.hook_{x}": out(f"{_ATTN}.query_key_value", part=part, heads="num_attention_heads")
        for x, part in _FUSED.items()
    },
    f"{_BLOCK}.attn.hook_rot_q": inner(_ATTN, "query"),
    f"{_BLOCK}.attn.hook_rot_k": inner(_ATTN, "key"),
    f"{_BLOCK}.attn.hook_attn_scores": inner(_ATTN, "scores"),
    f"{_BLOCK}.attn.hook_pattern": inner(_ATTN, "pattern"),
    f"{_BLOCK}.attn.hook_z": into(f"{_ATTN}.dense", heads="num_attention_heads"),
    f"{_BLOCK}.hook_attn_out": out(_ATTN),
    _MID: into(f"{_LAYER}.post_attention_layernorm", when=_ONE_BY_ONE),  # side by side, there is nothing in the middle
    f"{_BLOCK}.ln2.hook_normalized": out(f"{_LAYER}.post_attention_layernorm"),
    f"{_BLOCK}.mlp.hook_pre": out(f"{_MLP}.dense_h_to_4h"),
    f"{_BLOCK}.mlp.hook_post": into(f"{_MLP}.dense_4h_to_h"),
    f"{_BLOCK}.hook_mlp_out": out(_MLP),
    _POST: out(_LAYER),
    "ln_final.hook_normalized": out("final_layer_norm"),
}

GPT_NEOX = Family(
    name="gpt_neox",
    model_types=("gpt_neox",),
    names=_NAMES,
    gates=(EAGER_ATTENTION,),
    equal=(("blocks.{last}.hook_resid_post", "final_layer_norm.hook_in"),),
    checks=(
        Sums(("blocks.0.hook_resid_pre", "hook_embed")),
        *eq.prenorm_residuals(),
        Sums((_POST, _PRE, f"{_BLOCK}.hook_attn_out", f"{_BLOCK}.hook_mlp_out"), when=_SIDE_BY_SIDE),
        *eq.norm(f"{_BLOCK}.ln1.hook_normalized", _PRE, f"{_LAYER}.input_layernorm"),
        *eq.norm(f"{_BLOCK}.ln2.hook_normalized", _MID, f"{_LAYER}.post_attention_layernorm"),
        Applies((f"{_BLOCK}.ln2.hook_normalized", _PRE), f"{_LAYER}.post_attention_layernorm", when=_SIDE_BY_SIDE),
        *eq.norm("ln_final.hook_normalized", "blocks.{last}.hook_resid_post", "final_layer_norm"),
        *eq.attention(f"{_BLOCK}.attn", f"{_BLOCK}.hook_attn_out", f"{_ATTN}.dense"),
        *eq.rotated(f"{_BLOCK}.attn"),
        *(
            eq.AppliesFused(
                (f"{_BLOCK}.attn.hook_{x}", f"{_BLOCK}.ln1.hook_normalized"), f"{_ATTN}.query_key_value", part=part
            )
            for x, part in _FUSED.items()
        ),
        Applies((f"{_BLOCK}.mlp.hook_pre", f"{_BLOCK}.ln2.hook_normalized"), f"{_MLP}.dense_h_to_4h"),
        Applies((f"{_BLOCK}.mlp.hook_post", f"{_BLOCK}.mlp.hook_pre"), f"{_MLP}.act"),
        Applies((f"{_BLOCK}.hook_mlp_out", f"{_BLOCK}.mlp.hook_post"), f"{_MLP}.dense_4h_to_h"),
    ),
)
