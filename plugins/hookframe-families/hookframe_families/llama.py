"""llama, and what shares its layout: mistral, qwen2, qwen3, SmolLM. Other files build on its name map."""

from __future__ import annotations

from hookframe.families import Check, Family, Sums, inner, into, out
from hookframe_families import equations as eq
from hookframe_families.gates import EAGER_ATTENTION

__all__ = [
    "ATTENTION",
    "ATTN",
    "BLOCK",
    "FINAL_NORM",
    "GATED_MLP",
    "LAYER",
    "LLAMA",
    "MLP",
    "NORMED_HEADS",
    "OUTSIDE",
    "QWEN3",
    "SECOND_NORM",
    "STREAM",
    "checks",
    "gated_mlp",
]

LAYER, ATTN, MLP = "layers.{i}", "layers.{i}.self_attn", "layers.{i}.mlp"
BLOCK = "blocks.{i}"

OUTSIDE = {"hook_embed": out("embed_tokens"), "ln_final.hook_normalized": out("norm")}
STREAM = {
    f"{BLOCK}.hook_resid_pre": into(LAYER),
    f"{BLOCK}.hook_resid_mid": into(f"{LAYER}.post_attention_layernorm"),
    f"{BLOCK}.hook_resid_post": out(LAYER),
    f"{BLOCK}.ln1.hook_normalized": out(f"{LAYER}.input_layernorm"),
    f"{BLOCK}.ln2.hook_normalized": out(f"{LAYER}.post_attention_layernorm"),
    f"{BLOCK}.hook_attn_out": out(ATTN),
    f"{BLOCK}.hook_mlp_out": out(MLP),
}
ATTENTION = {
    f"{BLOCK}.attn.hook_q": out(f"{ATTN}.q_proj", heads="num_attention_heads"),
    f"{BLOCK}.attn.hook_k": out(f"{ATTN}.k_proj", heads="num_key_value_heads"),
    f"{BLOCK}.attn.hook_v": out(f"{ATTN}.v_proj", heads="num_key_value_heads"),
    f"{BLOCK}.attn.hook_rot_q": inner(ATTN, "query"),
    f"{BLOCK}.attn.hook_rot_k": inner(ATTN, "key"),
    f"{BLOCK}.attn.hook_attn_scores": inner(ATTN, "scores"),
    f"{BLOCK}.attn.hook_pattern": inner(ATTN, "pattern"),
    f"{BLOCK}.attn.hook_z": into(f"{ATTN}.o_proj", heads="num_attention_heads"),
}
NORMED_HEADS = {
    f"{BLOCK}.attn.q_norm.hook_normalized": out(f"{ATTN}.q_norm"),
    f"{BLOCK}.attn.k_norm.hook_normalized": out(f"{ATTN}.k_norm"),
}
GATED_MLP = {
    f"{BLOCK}.mlp.hook_pre": out(f"{MLP}.gate_proj"),
    f"{BLOCK}.mlp.hook_pre_linear": out(f"{MLP}.up_proj"),
    f"{BLOCK}.mlp.hook_post": into(f"{MLP}.down_proj"),
}


FINAL_NORM = (("blocks.{last}.hook_resid_post", "norm.hook_in"),)
"""Nothing but the final norm reads what the last layer returns."""


def checks(
    *, shift: float = 0.0, normed_heads: bool = False, per_head: bool = True, attn_out: str = "hook_attn_out"
) -> tuple[Check, ...]:
    """What holds in a decoder of this layout, its MLP left out.

    :param shift: what its norms add to their weight.
    :param normed_heads: True if queries and keys pass a norm of their own.
    :param per_head: True if that norm is over each head, False if it is over all of them.
    :param attn_out: the point with what the attention module returns.
    """
    attn = f"{BLOCK}.attn"
    met = ("q_norm.hook_normalized", "k_norm.hook_normalized") if normed_heads else ("hook_q", "hook_k")
    return (
        Sums(("blocks.0.hook_resid_pre", "hook_embed")),
        *eq.prenorm_residuals(),
        *eq.norm(f"{BLOCK}.ln1.hook_normalized", f"{BLOCK}.hook_resid_pre", f"{LAYER}.input_layernorm", shift=shift),
        *eq.norm("ln_final.hook_normalized", "blocks.{last}.hook_resid_post", "norm", shift=shift),
        *(eq.projected(f"{attn}.hook_{x}", f"{BLOCK}.ln1.hook_normalized", f"{ATTN}.{x}_proj") for x in "qkv"),
        *eq.attention(attn, f"{BLOCK}.{attn_out}", f"{ATTN}.o_proj"),
        *eq.rotated(attn, *met),
        *(
            (eq.per_head if per_head else eq.projected)(
                f"{attn}.{x}_norm.hook_normalized", f"{attn}.hook_{x}", f"{ATTN}.{x}_norm"
            )
            for x in ("qk" if normed_heads else "")
        ),
    )


def gated_mlp(mlp_out: str = "hook_mlp_out") -> tuple[Check, ...]:
    """What holds in its MLP.

    :param mlp_out: the point with what the MLP returns.
    """
    mlp = f"{BLOCK}.mlp"
    return (
        eq.projected(f"{mlp}.hook_pre", f"{BLOCK}.ln2.hook_normalized", f"{MLP}.gate_proj"),
        eq.projected(f"{mlp}.hook_pre_linear", f"{BLOCK}.ln2.hook_normalized", f"{MLP}.up_proj"),
        eq.Gates((f"{mlp}.hook_post", f"{mlp}.hook_pre", f"{mlp}.hook_pre_linear"), f"{MLP}.act_fn"),
        eq.projected(f"{BLOCK}.{mlp_out}", f"{mlp}.hook_post", f"{MLP}.down_proj"),
    )


SECOND_NORM = eq.norm(f"{BLOCK}.ln2.hook_normalized", f"{BLOCK}.hook_resid_mid", f"{LAYER}.post_attention_layernorm")

LLAMA = Family(
    name="llama",
    model_types=("llama", "mistral", "qwen2", "smollm3"),
    names=OUTSIDE | STREAM | ATTENTION | GATED_MLP,
    gates=(EAGER_ATTENTION,),
    equal=FINAL_NORM,
    checks=(*checks(), *gated_mlp(), *SECOND_NORM),
)
QWEN3 = Family(
    name="qwen3",
    model_types=("qwen3",),
    names=OUTSIDE | STREAM | ATTENTION | NORMED_HEADS | GATED_MLP,
    gates=(EAGER_ATTENTION,),
    equal=FINAL_NORM,
    checks=(*checks(normed_heads=True), *gated_mlp(), *SECOND_NORM),
)
