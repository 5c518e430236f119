"""bert: an encoder whose norms stand behind the sums; the stream between blocks is normalised."""

from __future__ import annotations

from hookframe.families import Applies, Family, Sums, inner, into, out
from hookframe_families import equations as eq
from hookframe_families.gates import EAGER_ATTENTION

__all__ = ["BERT"]

_LAYER, _BLOCK = "encoder.layer.{i}", "blocks.{i}"
_ATTN, _SELF = f"{_LAYER}.attention", f"{_LAYER}.attention.self"
_NORM1, _NORM2 = f"{_ATTN}.output.LayerNorm", f"{_LAYER}.output.LayerNorm"
_PRE, _MID, _POST = (f"{_BLOCK}.hook_resid_{part}" for part in ("pre", "mid", "post"))
_NORMED_MID, _NORMED_POST = f"{_BLOCK}.ln1.hook_normalized", f"{_BLOCK}.hook_normalized_resid_post"

_NAMES = {
    "hook_embed": out("embeddings.word_embeddings"),
    "hook_token_type_embed": out("embeddings.token_type_embeddings"),
    "hook_pos_embed": out("embeddings.position_embeddings"),
    "hook_full_embed": out("embeddings"),
    _PRE: into(_LAYER),
    **{
        f"{_BLOCK}.attn.hook_{name[0]}": out(f"{_SELF}.{name}", heads="num_attention_heads")
        for name in ("query", "key", "value")
    },
    f"{_BLOCK}.attn.hook_attn_scores": inner(_SELF, "scores"),
    f"{_BLOCK}.attn.hook_pattern": inner(_SELF, "pattern"),
    f"{_BLOCK}.attn.hook_z": into(f"{_ATTN}.output.dense", heads="num_attention_heads"),
    f"{_BLOCK}.hook_attn_out": out(f"{_ATTN}.output.dropout"),
    _MID: into(_NORM1),
    _NORMED_MID: out(_NORM1),
    f"{_BLOCK}.mlp.hook_pre": out(f"{_LAYER}.intermediate.dense"),
    f"{_BLOCK}.mlp.hook_post": into(f"{_LAYER}.output.dense"),
    f"{_BLOCK}.hook_mlp_out": out(f"{_LAYER}.output.dropout"),
    _POST: into(_NORM2),
    f"{_BLOCK}.ln2.hook_normalized": out(_NORM2),
    _NORMED_POST: out(_LAYER),
}

BERT = Family(
    name="bert",
    model_types=("bert",),
    anchor="encoder.layer",
    names=_NAMES,
    gates=(EAGER_ATTENTION,),
    checks=(
        Sums(("blocks.0.hook_resid_pre", "hook_full_embed")),
        eq.SumsNormed(
            ("hook_full_embed", "hook_embed", "hook_token_type_embed", "hook_pos_embed"), "embeddings.LayerNorm"
        ),
        Sums((_MID, _PRE, f"{_BLOCK}.hook_attn_out")),
        Sums((_POST, _NORMED_MID, f"{_BLOCK}.hook_mlp_out")),
        Sums(("blocks.{next}.hook_resid_pre", _NORMED_POST)),
        Sums((_NORMED_POST, f"{_BLOCK}.ln2.hook_normalized")),
        *eq.norm(_NORMED_MID, _MID, _NORM1),
        *eq.norm(f"{_BLOCK}.ln2.hook_normalized", _POST, _NORM2),
        *eq.attention(f"{_BLOCK}.attn", f"{_BLOCK}.hook_attn_out", f"{_ATTN}.output.dense"),
        *eq.unrotated(f"{_BLOCK}.attn"),
        Applies((f"{_BLOCK}.mlp.hook_pre", _NORMED_MID), f"{_LAYER}.intermediate.dense"),
        Applies((f"{_BLOCK}.mlp.hook_post", f"{_BLOCK}.mlp.hook_pre"), f"{_LAYER}.intermediate.intermediate_act_fn"),
        Applies((f"{_BLOCK}.hook_mlp_out", f"{_BLOCK}.mlp.hook_post"), f"{_LAYER}.output.dense"),
    ),
)
