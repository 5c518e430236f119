"""pyvene: it takes every forward hook off the model when it runs, whosever it is."""

from __future__ import annotations

import pytest
import torch

from hookframe import instrument

MLP = "transformer.h.0.mlp.hook_out"


@pytest.fixture
def intervening(gpt2):
    pyvene = pytest.importorskip("pyvene")
    place = {"layer": 0, "component": "mlp_output", "intervention": lambda base, source=None: base * 0}
    return pyvene.IntervenableModel(place, model=gpt2)


def test_pyvene_runs_on_an_instrumented_model(gpt2, intervening, tokens, zero):
    hooked = instrument(gpt2)
    with torch.no_grad():
        expected = hooked.run_with_hooks(tokens, fwd_hooks=[(MLP, zero)]).logits
        original, edited = intervening({"input_ids": tokens}, output_original_output=True)
        assert torch.equal(edited.logits, expected)
        assert torch.equal(original.logits, gpt2(tokens).logits)


def test_a_hook_does_not_run_in_a_run_of_pyvene_nor_after_it_until_it_is_attached_again(
    gpt2, intervening, tokens, look, seen
):
    hooked = instrument(gpt2)
    handle = hooked.add_hook(MLP, look)
    gpt2(tokens)
    assert [name for name, _ in seen] == [MLP]
    intervening({"input_ids": tokens})
    gpt2(tokens)
    assert len(seen) == 1
    handle.remove()
    hooked.add_hook(MLP, look)
    gpt2(tokens)
    assert len(seen) == 2
