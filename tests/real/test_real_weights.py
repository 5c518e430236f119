"""Real weights: what is cached is what torch's own hooks see, and steering changes what the model says."""

from __future__ import annotations

import pytest
import torch

import hookframe
from hookframe import Objection, hookimpl

pytestmark = [
    pytest.mark.weights,
    pytest.mark.filterwarnings("default"),  # what the model library warns of while it loads is its own affair
]


def torch_outputs(hooked, run):
    """What plain torch forward hooks on the real layers see during ``run``."""
    seen, handles = [], []
    for layer in hooked.plain_layers:
        keep = lambda module, args, output: seen.append(output[0] if isinstance(output, tuple) else output)
        handles.append(layer.register_forward_hook(keep))
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def inputs(tokenizer, texts):
    return tokenizer(texts, return_tensors="pt", padding=True)


@pytest.fixture(params=["bert", "smollm"])
def real(request):
    hooked, tokenizer = request.getfixturevalue(request.param)
    return hooked, inputs(tokenizer, ["The Eiffel Tower stands in the city of Paris."])


def test_the_cache_equals_what_torchs_own_hooks_see(real):
    hooked, batch = real
    with torch.no_grad():
        expected = torch_outputs(hooked, lambda: hooked(**batch))
        _, cache = hooked.run_with_cache(**batch)
    cached = [value for name, value in cache.items() if name.endswith("hook_resid_post")]
    assert len(cached) == len(expected) == len(hooked.plain_layers)
    assert all(torch.equal(a, b) for a, b in zip(cached, expected, strict=True))
    assert cache.nbytes == sum(value.nbytes for value in cache.values())


def test_points_change_nothing(real):
    hooked, batch = real
    with torch.no_grad():
        bare = hooked(**batch)[0]
        with hooked.hooks(fwd_hooks=[(lambda name: True, hookframe.read_only(lambda tensor, hook: None))]):
            watched = hooked(**batch)[0]
    assert torch.equal(bare, watched)


def test_gradients_equal_those_of_the_activations(real):
    hooked, batch = real
    kept = []

    def retain(tensor, hook):
        tensor.retain_grad()
        kept.append(tensor)

    last = next(name for name in reversed(hooked.hook_dict) if name.endswith("hook_resid_post"))
    cache, fwd, bwd = hooked.get_caching_hooks(last, incl_bwd=True)
    with hooked.hooks(fwd_hooks=[(last, retain), *fwd], bwd_hooks=bwd):
        output = hooked(**batch)[0]
        output.float().pow(2).mean().backward()
    assert torch.equal(cache[f"{last}_grad"], kept[0].grad)
    hooked.zero_grad()


def test_one_validator_guards_a_real_model(real):
    hooked, batch = real

    class LateLayers:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            late = [r for r in requests if ".5." in r.point and r.effect == "edit"]
            return [Objection.deny(r, rule="layer-5", message="layer 5 is read-only", remedy="cache it") for r in late]

    point = next(name for name in hooked.hook_dict if ".5." in name)
    with hookframe.use_plugins(LateLayers()):
        with torch.no_grad():
            hooked.run_with_cache(**batch, names_filter=point)
        with pytest.raises(hookframe.HookDenied, match="layer 5 is read-only"):
            hooked.add_hook(point, lambda tensor, hook: tensor * 0)


def test_bert_embeddings_move_with_an_edit(bert):
    hooked, tokenizer = bert
    batch = inputs(tokenizer, ["a cat", "a dog"])
    point = "model.encoder.layer.3.hook_resid_post"
    with torch.no_grad():
        plain = hooked(**batch).last_hidden_state
        _, cache = hooked.run_with_cache(**batch, names_filter=point)
        swapped = hooked.run_with_hooks(**batch, fwd_hooks=[(point, lambda t, hook: cache[hook.name].flip(0))])
    torch.testing.assert_close(swapped.last_hidden_state, plain.flip(0), rtol=1e-4, atol=1e-5)


def test_smollm_is_steered_from_one_prompt_to_another(smollm):
    hooked, tokenizer = smollm
    point = "model.model.layers.28.hook_resid_post"
    france, italy = (inputs(tokenizer, [f"The capital of {land} is"]) for land in ("France", "Italy"))

    def last_position_from(cache):
        def patch(tensor, hook):
            return torch.cat([tensor[:, :-1], cache[hook.name][:, -1:]], dim=1)  # [batch, pos, d_model]

        return patch

    def next_word(output):
        return tokenizer.decode(output.logits[0, -1].argmax()).strip()

    with torch.no_grad():
        _, cache = hooked.run_with_cache(**italy, names_filter=point)
        before = next_word(hooked(**france))
        after = next_word(hooked.run_with_hooks(**france, fwd_hooks=[(point, last_position_from(cache))]))
    assert (before, after) == ("Paris", "Rome")
