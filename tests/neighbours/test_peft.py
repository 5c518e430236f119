"""PEFT: adapters that are put on and taken off while hooks are there."""

from __future__ import annotations

import pytest
import torch

from hookframe import instrument

ATTENTION = "transformer.h.0.attn.c_attn.hook_out"


@pytest.fixture
def peft():
    return pytest.importorskip("peft")


def adapted(peft, model):
    return peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=["c_attn"], init_lora_weights=False, fan_in_fan_out=True)
    )


def test_hooks_follow_an_adapter_that_comes_and_goes(peft, gpt2, tokens, look, seen):
    hooked = instrument(gpt2)
    hooked.add_hook(ATTENTION, look)
    with torch.no_grad():
        hooked(tokens)
        model = adapted(peft, gpt2)
        hooked(tokens)
        model.unload()
        hooked(tokens)
    sums = [total for _, total in seen]
    assert sums[0] == sums[2] != sums[1]


def test_an_edit_on_a_model_with_an_adapter(peft, gpt2, tokens, zero):
    model = adapted(peft, gpt2)
    hooked = instrument(model)
    with torch.no_grad():
        edited = hooked.run_with_hooks(tokens, fwd_hooks=[(f"base_model.model.{ATTENTION}", zero)]).logits
        assert not torch.equal(edited, model(tokens).logits)


def test_gradients_of_an_adapter_are_the_same_under_reading_hooks(peft, gpt2, tokens, look, seen):
    model = adapted(peft, gpt2)
    weight = model.base_model.model.transformer.h[0].attn.c_attn.lora_A["default"].weight
    model(tokens).logits.sum().backward()
    expected, weight.grad = weight.grad, None
    instrument(model).run_with_hooks(
        tokens, bwd_hooks=[(f"base_model.model.{ATTENTION}", look)]
    ).logits.sum().backward()
    assert torch.allclose(weight.grad, expected)
    assert len(seen) == 1
