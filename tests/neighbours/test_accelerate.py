"""accelerate: models that it prepared, and its own hooks, which take the place of a module's forward."""

from __future__ import annotations

import pytest
import torch

from hookframe import instrument

MLP = "transformer.h.0.mlp.hook_out"


@pytest.fixture
def accelerate():
    return pytest.importorskip("accelerate")


def test_a_prepared_model_has_hook_points(accelerate, gpt2, tokens, look, seen):
    accelerator = accelerate.Accelerator(cpu=True)
    model, _ = accelerator.prepare(gpt2, torch.optim.SGD(gpt2.parameters(), lr=0.1))
    loss = instrument(model).run_with_hooks(tokens, bwd_hooks=[(MLP, look)]).logits.sum()
    accelerator.backward(loss)
    assert len(seen) == 1
    assert gpt2.transformer.wte.weight.grad is not None


def test_hooks_of_accelerate_run_inside_the_module_and_hookframe_sees_what_they_made(
    accelerate, gpt2, tokens, look, seen
):
    class Zero(accelerate.hooks.ModelHook):
        def post_forward(self, module, output):
            return output * 0

    hooked = instrument(gpt2)
    accelerate.hooks.add_hook_to_module(gpt2.transformer.h[0].mlp, Zero())
    hooked.run_with_hooks(tokens, fwd_hooks=[(MLP, look)])
    accelerate.hooks.remove_hook_from_module(gpt2.transformer.h[0].mlp)
    hooked.run_with_hooks(tokens, fwd_hooks=[(MLP, look)])
    assert seen[0] == (MLP, 0.0)
    assert seen[1][1] > 0


def test_a_model_whose_weights_are_offloaded_is_hooked_and_gives_the_same(accelerate, gpt2, tokens, zero):
    with torch.no_grad():
        expected = instrument(gpt2).run_with_hooks(tokens, fwd_hooks=[(MLP, zero)]).logits
        accelerate.cpu_offload(gpt2, execution_device=torch.device("cpu"))
        found = instrument(gpt2).run_with_hooks(tokens, fwd_hooks=[(MLP, zero)]).logits
    assert torch.equal(found, expected)
