"""The plugin: the families it provides, and the validator that refuses points which are closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hookframe import Objection, hookimpl
from hookframe.families import Family
from hookframe_families.bert import BERT
from hookframe_families.gemma import GEMMA, GEMMA2, GEMMA3
from hookframe_families.gpt2 import GPT2
from hookframe_families.gpt_neox import GPT_NEOX
from hookframe_families.llama import LLAMA, QWEN3
from hookframe_families.mamba import MAMBA
from hookframe_families.mixtures import MIXTURES
from hookframe_families.t5 import T5
from hookframe_families.transformer_lens import TRANSFORMER_LENS
from hookframe_families.vit import VIT

if TYPE_CHECKING:
    from hookframe import HookRequest

__all__ = ["FAMILIES", "hookframe_check_hooks_to_add", "hookframe_model_families"]

FAMILIES = (BERT, GEMMA, GEMMA2, GEMMA3, GPT2, GPT_NEOX, LLAMA, MAMBA, *MIXTURES, QWEN3, T5, TRANSFORMER_LENS, VIT)


@hookimpl
def hookframe_model_families() -> Sequence[Family]:
    """Give the families."""
    return FAMILIES


@hookimpl
def hookframe_check_hooks_to_add(requests: Sequence[HookRequest], model: Any) -> list[Objection]:
    """Object to points that the model, as it is loaded or configured, does not serve, and name the remedy.

    A point that was only swept up by a filter is left out.
    """
    found = []
    for family, of in _families_of(model):
        for request in requests:
            gates = (family.closed_gate(name, of) for name in dict.fromkeys((request.point or "", *request.names)))
            closed = next((gate for gate in gates if gate is not None), None)
            if closed is not None:
                gate, reason = closed
                found.append(Objection.skip(request, rule=gate.rule, message=reason, remedy=gate.remedy))
    return found


def _families_of(model: Any) -> Sequence[tuple[Family, Any]]:
    """The families of an instrumented model, each with the model that it recognised; else the one that recognises the model."""
    known: Sequence[tuple[Family, Any]] | None = getattr(model, "families_with_models", None)
    if known is not None:
        return known
    return [(TRANSFORMER_LENS, model)] if model is not None and TRANSFORMER_LENS.matches(model) else []
