"""Gradient checkpointing, as transformers turns it on, with edits that are there for the backward pass and that are not."""

from __future__ import annotations

import warnings

import pytest
import torch

import hookframe
from hookframe import EditNotRecomputedWarning

pytestmark = pytest.mark.weights  # it needs no weights, but the environment of those that do


def triple(tensor, hook):
    return tensor * 3


@pytest.mark.parametrize("reentrant", [False, True], ids=["non-reentrant", "reentrant"])
def test_a_model_of_somebody_else_with_checkpointing_turned_on(reentrant):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=2, n_embd=8, n_head=2, vocab_size=16, n_positions=8, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        bos_token_id=0, eos_token_id=0, use_cache=False,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).train()
    model.enable_input_require_grads()
    hooked, tokens = hookframe.instrument(model), torch.arange(8)[None]
    edits = [(lambda name: name.endswith("mlp.c_fc.hook_out"), triple)]

    def gradients(run):
        run()
        found = torch.cat([p.grad.flatten() for p in model.parameters()])
        model.zero_grad()
        return found

    def inside():
        with hooked.hooks(edits):
            hooked(tokens).logits.square().mean().backward()

    expected = gradients(inside)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it has a newer name in newer releases
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    torch.testing.assert_close(gradients(inside), expected)
    loss = hooked.run_with_hooks(tokens, fwd_hooks=edits).logits.square().mean()
    with pytest.warns(EditNotRecomputedWarning, match=r"triple .* at 'transformer.h.1.mlp.c_fc.hook_out'") as caught:
        wrong = gradients(loss.backward)
    assert len(caught) == 1
    assert not torch.allclose(wrong, expected)
