"""TransformerLens 3, SAELens and circuit-tracer: models and modules with TransformerLens's own points."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hookframe import instrument

MLP = "blocks.0.hook_mlp_out"
SIZES = {
    "n_layers": 2,
    "d_model": 16,
    "n_ctx": 32,
    "d_head": 8,
    "n_heads": 2,
    "d_vocab": 50,
    "d_mlp": 32,
    "act_fn": "relu",
}


@pytest.fixture
def config(lens_3):
    return lens_3.HookedTransformerConfig(**SIZES, seed=0, device="cpu")


@pytest.fixture
def transformer(config, lens_3):
    return lens_3.HookedTransformer(config)


def test_a_hooked_transformer_has_its_own_names(transformer):
    hooked = instrument(transformer)
    assert set(transformer.hook_dict) <= set(hooked.hook_dict)
    place = hooked.hook_dict["blocks.1.hook_resid_post"].place
    assert (place.names, place.layer, place.certain) == (("blocks.1.hook_resid_post",), 1, True)


def test_a_cache_of_a_hooked_transformer_has_what_its_own_has(transformer, tokens):
    hooked = instrument(transformer)
    with torch.no_grad():
        _, expected = transformer.run_with_cache(tokens)
        _, found = hooked.run_with_cache(tokens)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_hooks_of_both_fire_on_a_hooked_transformer(transformer, tokens, zero, look, seen):
    hooked = instrument(transformer)
    with transformer.hooks(fwd_hooks=[(MLP, look)]), hooked.hooks(fwd_hooks=[(MLP, zero)]):
        transformer(tokens)
    assert seen == [(MLP, 0.0)]


def test_an_sae_is_instrumented_and_both_kinds_of_hooks_fire(look, seen, zero):
    lens = pytest.importorskip("sae_lens")
    torch.manual_seed(0)
    sae = lens.StandardSAE(lens.StandardSAEConfig(d_in=16, d_sae=32, device="cpu"))
    hooked, x = instrument(sae), torch.randn(1, 4, 16)
    assert set(sae.hook_dict) <= set(hooked.hook_dict)
    with sae.hooks(fwd_hooks=[("hook_sae_acts_post", look)]):
        with hooked.hooks(fwd_hooks=[("hook_sae_acts_post", zero)]):
            found = sae(x)
    assert seen == [("hook_sae_acts_post", 0.0)]
    assert torch.allclose(found, sae.decode(torch.zeros(1, 4, 32)))


def test_an_sae_takes_a_place_in_a_model_by_an_editing_hook(transformer, tokens):
    lens = pytest.importorskip("sae_lens")
    sae = lens.StandardSAE(lens.StandardSAEConfig(d_in=16, d_sae=32, device="cpu"))
    hooked = instrument(transformer)

    def reconstruct(tensor, hook):
        return sae(tensor)

    with torch.no_grad():
        expected = transformer.run_with_hooks(tokens, fwd_hooks=[(MLP, reconstruct)])
        assert torch.equal(hooked.run_with_hooks(tokens, fwd_hooks=[(MLP, reconstruct)]), expected)


def test_an_attribution_graph_of_circuit_tracer_is_the_same_under_reading_hooks(config, tokens, look, seen):
    replacing = pytest.importorskip("circuit_tracer.replacement_model.replacement_model_transformerlens")
    single = pytest.importorskip("circuit_tracer.transcoder.single_layer_transcoder")
    attribute = pytest.importorskip("circuit_tracer.attribution.attribute").attribute
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_transcoder": 8, "activation_function": torch.relu, "dtype": torch.float32}
    layers = {layer: single.SingleLayerTranscoder(**sizes, layer_idx=layer, device="cpu") for layer in (0, 1)}
    for layer in layers.values():
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter)
    transcoders = single.TranscoderSet(layers, "hook_resid_mid", "hook_mlp_out")
    model = replacing.TransformerLensReplacementModel.from_config(config, transcoders)
    special = [int(tokens[0, 0])]  # it wants one at the beginning
    model.tokenizer = SimpleNamespace(all_special_ids=special, padding_side="right", decode=str, vocab_size=50)
    expected = attribute(tokens[0], model, batch_size=4).adjacency_matrix
    with instrument(model).hooks(fwd_hooks=[("blocks.0.hook_resid_mid", look)]):
        found = attribute(tokens[0], model, batch_size=4).adjacency_matrix
    assert expected.any()
    assert torch.allclose(found, expected)
    assert seen
