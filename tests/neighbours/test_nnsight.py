"""nnsight: both on one model."""

from __future__ import annotations

import pytest
import torch

from hookframe import instrument

MLP = "transformer.h.0.mlp.hook_out"


@pytest.fixture
def traced(gpt2):
    return pytest.importorskip("nnsight").NNsight(gpt2)


def test_an_edit_of_hookframe_takes_part_in_a_trace_which_sees_what_the_module_itself_returns(
    gpt2, traced, tokens, zero
):
    hooked = instrument(gpt2)
    with torch.no_grad():
        expected = hooked.run_with_hooks(tokens, fwd_hooks=[(MLP, zero)]).logits
        with hooked.hooks(fwd_hooks=[(MLP, zero)]), traced.trace(tokens):
            inside = traced.transformer.h[0].mlp.output.save()
            logits = traced.lm_head.output.save()
    assert inside.abs().sum() > 0
    assert torch.equal(logits, expected)


def test_hookframe_sees_what_nnsight_edited(gpt2, traced, tokens, look, seen):
    hooked = instrument(gpt2)
    with torch.no_grad():
        before = gpt2(tokens).logits
        with hooked.hooks(fwd_hooks=[(MLP, look)]), traced.trace(tokens):
            traced.transformer.h[0].mlp.output = traced.transformer.h[0].mlp.output * 0
        assert seen == [(MLP, 0.0)]
        assert torch.equal(gpt2(tokens).logits, before)
