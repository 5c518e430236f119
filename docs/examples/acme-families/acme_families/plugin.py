"""Sentence encoders of the BERT kind: their points, what holds between them, and a rule about where to edit."""

from hookframe import Family, Objection, hookimpl
from hookframe.families import Applies, Sums, into, out

LAYER, BLOCK = "encoder.layer.{i}", "blocks.{i}"


class SentenceEncoder(Family):
    """Recognised by the class of its models."""

    def matches(self, model):
        """True for a bare BERT model."""
        return type(model).__name__ == "BertModel"


ENCODER = SentenceEncoder(
    name="sentence_encoder",
    anchor="encoder.layer",
    names={
        "hook_embed": out("embeddings"),
        f"{BLOCK}.hook_resid_pre": into(LAYER),
        f"{BLOCK}.attn.hook_q": out(f"{LAYER}.attention.self.query", heads="num_attention_heads"),
        f"{BLOCK}.hook_mlp_out": out(f"{LAYER}.output.dropout"),
        f"{BLOCK}.hook_before_norm": into(f"{LAYER}.output.LayerNorm"),
        f"{BLOCK}.hook_state": out(LAYER),
    },
    checks=(
        Sums(("blocks.0.hook_resid_pre", "hook_embed")),
        Sums(("blocks.{next}.hook_resid_pre", f"{BLOCK}.hook_state")),
        Applies((f"{BLOCK}.hook_state", f"{BLOCK}.hook_before_norm"), f"{LAYER}.output.LayerNorm"),
    ),
)


@hookimpl
def hookframe_model_families():
    return [ENCODER]


@hookimpl
def hookframe_check_hooks_to_add(requests, model):
    if getattr(model, "family", None) is not ENCODER:
        return None
    return [
        Objection.deny(
            request,
            rule="edit-behind-the-norm",
            message="the norm behind this point undoes what an edit does to the scale",
            remedy=f"edit blocks.{request.layer}.hook_state instead",
        )
        for request in requests
        if request.effect == "edit" and request.matches("blocks.*.hook_before_norm")
    ]
