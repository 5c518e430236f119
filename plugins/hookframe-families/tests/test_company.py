"""A real architecture with what else puts hooks on models: output capture, accelerate and PEFT, attached before and after."""

from __future__ import annotations

import pytest
import torch

import hookframe
from hookframe import ActivationShapeError, instrument

from .conftest import build

pytestmark = pytest.mark.filterwarnings("default")  # what these libraries warn of is their own affair

TOKENS = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
POINTS = ("blocks.0.attn.hook_q", "blocks.0.hook_resid_post", "blocks.1.attn.hook_pattern", "blocks.1.hook_resid_pre")


def scale(tensor, hook):
    return tensor * 1.5


@pytest.fixture
def model():
    return build("llama")


def expected_logits(point):
    """With the edit alone, on a model of its own."""
    with torch.no_grad():
        return instrument(build("llama")).run_with_hooks(TOKENS, fwd_hooks=[(point, scale)]).logits


# ---- output_hidden_states, output_attentions -------------------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_captured_outputs_are_those_with_the_edit_whoever_came_first(model, point, first):
    hooked = instrument(model)
    capture = {"output_hidden_states": True, "output_attentions": True}
    with torch.no_grad():
        if first == "theirs":
            model(TOKENS, **capture)  # transformers attaches its hooks on the first such call
        handle = hooked.add_hook(point, scale)
        output = model(TOKENS, **capture)
        _, cache = hooked.run_with_cache(TOKENS)
        assert torch.equal(output.logits, expected_logits(point))
        assert torch.equal(output.hidden_states[0], cache["blocks.0.hook_resid_pre"])
        assert torch.equal(output.hidden_states[1], cache["blocks.0.hook_resid_post"])  # not what goes into the next
        for i in range(2):
            assert torch.equal(output.attentions[i], cache[f"blocks.{i}.attn.hook_pattern"])
        assert torch.equal(output.hidden_states[2], cache["ln_final.hook_normalized"])
        handle.remove()
        assert torch.equal(model(TOKENS, **capture).logits, build("llama")(TOKENS).logits)
    theirs = [hook for module in model.modules() for hook in module._forward_hooks.values()]
    assert len(theirs) == 4
    assert not any(getattr(hook, "hookframe_managed", False) for hook in theirs)


# ---- accelerate ------------------------------------------------------------------------------------------------------


def dispatched(model):
    accelerate = pytest.importorskip("accelerate")
    devices = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "cpu"}
    devices |= {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    return accelerate.dispatch_model(model, device_map=devices, force_hooks=True)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("order", ["theirs, instrument, ours", "instrument, theirs, ours", "instrument, ours, theirs"])
def test_a_dispatched_model_is_edited_as_any_other(model, point, order):
    hooked = None
    for step in order.split(", "):
        if step == "theirs":
            dispatched(model)
        elif step == "instrument":
            hooked = instrument(model)
        else:
            hooked.add_hook(point, scale)
    with torch.no_grad():
        assert torch.equal(model(TOKENS).logits, expected_logits(point))
        hooked.release()
        assert torch.equal(model(TOKENS).logits, build("llama")(TOKENS).logits)
    assert hasattr(model.model.layers[0], "_hf_hook")  # theirs is still there


# ---- PEFT ------------------------------------------------------------------------------------------------------------


def adapted(model):
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    return peft.get_peft_model(model, config).eval()


def with_adapter(point):
    """The output with adapter and edit, the adapter first, the edit by hand at the adapter's module."""
    with torch.no_grad():
        return instrument(adapted(build("llama"))).run_with_hooks(input_ids=TOKENS, fwd_hooks=[(point, scale)]).logits


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("through", ["the model", "the adapted model"])
def test_a_model_that_is_adapted_later_is_edited_as_one_that_was_before(model, point, through):
    hooked = instrument(model)
    outer = adapted(model)
    if through == "the adapted model":
        hooked = instrument(outer)
        assert hooked.family.name == "llama"
    hooked.add_hook(point, scale)
    with torch.no_grad():
        assert torch.equal(outer(input_ids=TOKENS).logits, with_adapter(point))
    hooked.release()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in outer.modules())


@pytest.mark.parametrize("point", POINTS)
def test_hooks_attached_before_an_adapter_are_right_or_refused_by_name(model, point):
    hooked = instrument(model)
    hooked.add_hook(point, scale)
    outer = adapted(model)
    with torch.no_grad():
        if point == "blocks.0.attn.hook_q":  # its module was replaced: it would see what a part of the new one computes
            with pytest.raises(hookframe.HookPointMoved, match=r"'blocks\.0\.attn\.hook_q' was replaced"):
                outer(input_ids=TOKENS)
            hooked.setup()
        assert torch.equal(outer(input_ids=TOKENS).logits, with_adapter(point))
        assert torch.equal(hooked(TOKENS).logits, with_adapter(point))


def test_the_point_at_an_adapted_module_includes_what_the_adapter_adds(model):
    with torch.no_grad():
        outer = adapted(model)
        _, cache = instrument(outer).run_with_cache(input_ids=TOKENS)
        layer = outer.base_model.model.model.layers[0]
        normed = cache["blocks.0.ln1.hook_normalized"]
        assert torch.equal(cache["blocks.0.attn.hook_q"].flatten(-2), layer.self_attn.q_proj(normed))
        assert not torch.equal(cache["blocks.0.attn.hook_q"].flatten(-2), layer.self_attn.q_proj.base_layer(normed))


# ---- generate ---------------------------------------------------------------------------------------------------------


def test_generate_runs_with_the_hooks_and_calls_are_told_apart(model):
    hooked, seen = instrument(model), []
    with hooked.hooks(
        fwd_hooks=[("blocks.1.hook_resid_post", lambda t, hook: seen.append((hook.forward_index, t.shape[1])))]
    ):
        hooked.generate(TOKENS, max_new_tokens=3, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert seen == [(0, 4), (1, 1), (2, 1)]


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "t5"])
@pytest.mark.parametrize("beams", [1, 4])
def test_a_beam_search_is_told_from_rows_that_stay_where_they_are(name, beams):
    model = build(name)
    hooked = instrument(model)
    with hooked.capture("**.hook_resid_post") as cache:
        written = model.generate(
            TOKENS, max_new_tokens=6, do_sample=False, num_beams=beams, pad_token_id=0, eos_token_id=None
        )
    decoded = [step for step in cache.steps if step.phase == "decode"]
    assert len(decoded) >= 5
    if beams == 1:
        assert not any(step.reordered for step in cache.steps)
        if name != "t5":  # whose encoder runs by itself
            assert cache.sequence("resid_post", 0).shape[:2] == (2, written.shape[1] - 1)
    else:
        assert any(step.reordered for step in decoded)
        if name != "t5":
            with pytest.raises(ActivationShapeError, match="as a beam search has it"):
                cache.rows("resid_post", 0)


def test_a_module_that_runs_twice_in_a_forward_counts_its_calls():
    model = build("vit")
    hooked, calls = instrument(model), []
    hooked.add_hook("vit.layers.0.dropout.hook_out", lambda t, hook: calls.append((hook.forward_index, hook.call)))
    for _ in range(2):
        model(torch.zeros(1, 3, 16, 16))
    assert calls == [(0, 0), (0, 1), (1, 0), (1, 1)]
