"""t5: an encoder and a decoder, whose blocks are called ``encoder.{i}`` and ``decoder.{i}``."""

from __future__ import annotations

from hookframe.families import Applies, At, Check, Family, Sums, inner, into, out
from hookframe_families import equations as eq
from hookframe_families.gates import EAGER_ATTENTION

__all__ = ["T5"]


def _attention(name: str, module: str) -> dict[str, At]:
    return {
        **{f"{name}.hook_{x}": out(f"{module}.{x}", heads="num_heads") for x in "qkv"},
        f"{name}.hook_attn_scores": inner(module, "scores"),
        f"{name}.hook_pattern": inner(module, "pattern"),
        f"{name}.hook_z": into(f"{module}.o", heads="num_heads"),
    }


def _stack(stack: str, feed_forward: int) -> dict[str, At | tuple[At, ...]]:
    """The names of one stack; its MLP is the layer numbered ``feed_forward`` of a block."""
    block, module = f"{stack}.{{i}}", f"{stack}.block.{{i}}"
    mlp = f"{module}.layer.{feed_forward}.DenseReluDense"
    return {
        f"{stack}.hook_embed": out(f"{stack}.embed_tokens"),
        f"{block}.hook_resid_pre": into(module),
        f"{block}.ln1.hook_normalized": out(f"{module}.layer.0.layer_norm"),
        **_attention(f"{block}.attn", f"{module}.layer.0.SelfAttention"),
        f"{block}.hook_attn_out": out(f"{module}.layer.0.dropout"),
        f"{block}.hook_resid_mid": into(f"{module}.layer.1.layer_norm"),
        f"{block}.ln2.hook_normalized": out(f"{module}.layer.1.layer_norm"),
        f"{block}.mlp.hook_pre": (out(f"{mlp}.wi"), out(f"{mlp}.wi_0")),
        f"{block}.mlp.hook_pre_linear": out(f"{mlp}.wi_1"),
        f"{block}.mlp.hook_post": into(f"{mlp}.wo"),
        f"{block}.hook_mlp_out": out(f"{module}.layer.{feed_forward}.dropout"),
        f"{block}.hook_resid_post": out(module),
        f"{stack}_final_ln.hook_normalized": out(f"{stack}.final_layer_norm"),
    }


def _stack_checks(stack: str, feed_forward: int, before_mlp: str, ln_before_mlp: str) -> tuple[Check, ...]:
    block, module = f"{stack}.{{i}}", f"{stack}.block.{{i}}"
    mlp = f"{module}.layer.{feed_forward}.DenseReluDense"
    attn = f"{module}.layer.0.SelfAttention"
    return (
        Sums((f"{stack}.0.hook_resid_pre", f"{stack}.hook_embed")),
        Sums((f"{block}.hook_resid_mid", f"{block}.hook_resid_pre", f"{block}.hook_attn_out")),
        Sums((f"{block}.hook_resid_post", f"{block}.{before_mlp}", f"{block}.hook_mlp_out")),
        Sums((f"{stack}.{{next}}.hook_resid_pre", f"{block}.hook_resid_post")),
        *eq.norm(f"{block}.ln1.hook_normalized", f"{block}.hook_resid_pre", f"{module}.layer.0.layer_norm"),
        *eq.norm(f"{block}.ln2.hook_normalized", f"{block}.hook_resid_mid", f"{module}.layer.1.layer_norm"),
        *eq.norm(f"{stack}_final_ln.hook_normalized", f"{stack}.{{last}}.hook_resid_post", f"{stack}.final_layer_norm"),
        *eq.attention(f"{block}.attn", f"{block}.hook_attn_out", f"{attn}.o"),
        *eq.unrotated(f"{block}.attn", biased=True),
        *(Applies((f"{block}.attn.hook_{x}", f"{block}.ln1.hook_normalized"), f"{attn}.{x}") for x in "qkv"),
        Applies((f"{block}.mlp.hook_pre", f"{block}.{ln_before_mlp}"), f"{mlp}.wi"),
        Applies((f"{block}.mlp.hook_pre", f"{block}.{ln_before_mlp}"), f"{mlp}.wi_0"),
        Applies((f"{block}.mlp.hook_pre_linear", f"{block}.{ln_before_mlp}"), f"{mlp}.wi_1"),
        eq.Gates(tuple(f"{block}.mlp.{x}" for x in ("hook_post", "hook_pre", "hook_pre_linear")), f"{mlp}.act"),
        Applies((f"{block}.hook_mlp_out", f"{block}.mlp.hook_post"), f"{mlp}.wo"),
    )


_DECODER, _CROSS = "decoder.{i}", "decoder.block.{i}.layer.1.EncDecAttention"
_CROSS_NAMES: dict[str, At | tuple[At, ...]] = {
    **_attention(f"{_DECODER}.cross_attn", _CROSS),
    f"{_DECODER}.hook_cross_attn_out": out("decoder.block.{i}.layer.1.dropout"),
    f"{_DECODER}.hook_resid_mid_cross": into("decoder.block.{i}.layer.2.layer_norm"),
    f"{_DECODER}.ln3.hook_normalized": out("decoder.block.{i}.layer.2.layer_norm"),
}
_CROSS_CHECKS: tuple[Check, ...] = (
    Sums((f"{_DECODER}.hook_resid_mid_cross", f"{_DECODER}.hook_resid_mid", f"{_DECODER}.hook_cross_attn_out")),
    *eq.norm(
        f"{_DECODER}.ln3.hook_normalized", f"{_DECODER}.hook_resid_mid_cross", "decoder.block.{i}.layer.2.layer_norm"
    ),
    *eq.attention(f"{_DECODER}.cross_attn", f"{_DECODER}.hook_cross_attn_out", f"{_CROSS}.o"),
    *eq.unrotated(f"{_DECODER}.cross_attn"),
    Applies((f"{_DECODER}.cross_attn.hook_q", f"{_DECODER}.ln2.hook_normalized"), f"{_CROSS}.q"),
    *(Applies((f"{_DECODER}.cross_attn.hook_{x}", "encoder_final_ln.hook_normalized"), f"{_CROSS}.{x}") for x in "kv"),
)

T5 = Family(
    name="t5",
    model_types=("t5", "mt5"),
    anchor="encoder.block",
    names=_stack("encoder", 1) | _stack("decoder", 2) | _CROSS_NAMES,
    gates=(EAGER_ATTENTION,),
    equal=tuple(
        (f"{stack}.{{last}}.hook_resid_post", f"{stack}.final_layer_norm.hook_in") for stack in ("encoder", "decoder")
    ),
    probe="tokens-and-decoder-tokens",
    checks=(
        *_stack_checks("encoder", 1, "hook_resid_mid", "ln2.hook_normalized"),
        *_stack_checks("decoder", 2, "hook_resid_mid_cross", "ln3.hook_normalized"),
        *_CROSS_CHECKS,
    ),
)
