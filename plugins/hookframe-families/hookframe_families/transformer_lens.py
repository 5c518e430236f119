"""Models with a TransformerLens configuration: their points have these names already; flags of ``cfg`` close some of them."""

from __future__ import annotations

from typing import Any

from hookframe.families import Family
from hookframe_families.gates import flag

__all__ = ["TRANSFORMER_LENS"]

_FLAGS = ("use_attn_result", "use_split_qkv_input", "use_hook_mlp_in", "use_attn_in")


class _TransformerLens(Family):
    """Recognised by the flags of its configuration."""

    def matches(self, model: Any) -> bool:
        """True if ``model.cfg`` has all the flags."""
        config = getattr(model, "cfg", None)
        return config is not None and all(hasattr(config, name) for name in _FLAGS)


TRANSFORMER_LENS = _TransformerLens(
    name="transformer_lens",
    anchor="blocks",
    equal=(("blocks.{i}.hook_resid_post", "blocks.{next}.hook_resid_pre"),),
    gates=(
        flag("use_attn_result", "*.attn.hook_result", remedy="call model.set_use_attn_result(True) first"),
        flag(
            "use_split_qkv_input",
            "*.hook_q_input",
            "*.hook_k_input",
            "*.hook_v_input",
            remedy="call model.set_use_split_qkv_input(True) first",
        ),
        flag("use_hook_mlp_in", "*.hook_mlp_in", remedy="call model.set_use_hook_mlp_in(True) first"),
        flag("use_attn_in", "*.hook_attn_in", remedy="call model.set_use_attn_in(True) first"),
    ),
)
