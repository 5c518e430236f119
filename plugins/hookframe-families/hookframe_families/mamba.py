"""mamba: no attention; each block adds what its state-space mixer returns."""

from __future__ import annotations

from hookframe.families import Applies, Family, Sums, into, out
from hookframe_families import equations as eq

__all__ = ["MAMBA"]

_LAYER, _MIXER, _BLOCK = "layers.{i}", "layers.{i}.mixer", "blocks.{i}"
_PRE, _POST, _OUT = f"{_BLOCK}.hook_resid_pre", f"{_BLOCK}.hook_resid_post", f"{_BLOCK}.hook_mixer_out"

_NAMES = {
    "hook_embed": out("embeddings"),
    _PRE: into(_LAYER),
    f"{_BLOCK}.ln1.hook_normalized": out(f"{_LAYER}.norm"),
    f"{_BLOCK}.mixer.hook_in_proj": out(f"{_MIXER}.in_proj"),  # input and gate, one after the other
    f"{_BLOCK}.mixer.hook_conv": into(f"{_MIXER}.x_proj"),  # behind convolution and activation
    f"{_BLOCK}.mixer.hook_ssm_parameters": out(f"{_MIXER}.x_proj"),  # step, B and C, one after the other
    f"{_BLOCK}.mixer.hook_y": into(f"{_MIXER}.out_proj"),  # behind the gate
    _OUT: out(_MIXER),
    _POST: out(_LAYER),
    "ln_final.hook_normalized": out("norm_f"),
}

MAMBA = Family(
    name="mamba",
    model_types=("mamba", "falcon_mamba"),
    names=_NAMES,
    equal=(("blocks.{last}.hook_resid_post", "norm_f.hook_in"),),
    checks=(
        Sums(("blocks.0.hook_resid_pre", "hook_embed")),
        Sums((_POST, _PRE, _OUT)),
        Sums(("blocks.{next}.hook_resid_pre", _POST)),
        *eq.norm(f"{_BLOCK}.ln1.hook_normalized", _PRE, f"{_LAYER}.norm"),
        *eq.norm("ln_final.hook_normalized", "blocks.{last}.hook_resid_post", "norm_f"),
        Applies((f"{_BLOCK}.mixer.hook_in_proj", f"{_BLOCK}.ln1.hook_normalized"), f"{_MIXER}.in_proj"),
        Applies((f"{_BLOCK}.mixer.hook_ssm_parameters", f"{_BLOCK}.mixer.hook_conv"), f"{_MIXER}.x_proj"),
        Applies((_OUT, f"{_BLOCK}.mixer.hook_y"), f"{_MIXER}.out_proj"),
    ),
)
