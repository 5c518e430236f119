"""The demo transformer: its hook points, shapes, check and generation."""

import pytest
import torch

from hookframe.demo.grammar import MAX_TOKENS, decode, encode, vocabulary
from hookframe.demo.model import DemoConfig, DemoTransformer, generate

CFG = {"d_vocab": 7, "n_layers": 2, "d_model": 12, "n_heads": 3, "d_mlp": 20, "n_ctx": 9}
BATCH, POS, HEAD, D_HEAD, D_MODEL, D_MLP = 2, 5, 3, 4, 12, 20
RESULT = "blocks.1.attn.hook_result"

LAYER_SHAPES = {
    "hook_resid_pre": (BATCH, POS, D_MODEL),
    "ln1.hook_scale": (BATCH, POS, 1),
    "ln1.hook_normalized": (BATCH, POS, D_MODEL),
    "attn.hook_q": (BATCH, POS, HEAD, D_HEAD),
    "attn.hook_k": (BATCH, POS, HEAD, D_HEAD),
    "attn.hook_v": (BATCH, POS, HEAD, D_HEAD),
    "attn.hook_attn_scores": (BATCH, HEAD, POS, POS),
    "attn.hook_pattern": (BATCH, HEAD, POS, POS),
    "attn.hook_z": (BATCH, POS, HEAD, D_HEAD),
    "attn.hook_result": (BATCH, POS, HEAD, D_MODEL),
    "hook_attn_out": (BATCH, POS, D_MODEL),
    "hook_resid_mid": (BATCH, POS, D_MODEL),
    "ln2.hook_scale": (BATCH, POS, 1),
    "ln2.hook_normalized": (BATCH, POS, D_MODEL),
    "mlp.hook_pre": (BATCH, POS, D_MLP),
    "mlp.hook_post": (BATCH, POS, D_MLP),
    "hook_mlp_out": (BATCH, POS, D_MODEL),
    "hook_resid_post": (BATCH, POS, D_MODEL),
}
SHAPES = {
    "hook_embed": (BATCH, POS, D_MODEL),
    "hook_pos_embed": (BATCH, POS, D_MODEL),
    **{f"blocks.{layer}.{name}": shape for layer in range(2) for name, shape in LAYER_SHAPES.items()},
    "ln_final.hook_scale": (BATCH, POS, 1),
    "ln_final.hook_normalized": (BATCH, POS, D_MODEL),
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return DemoTransformer(DemoConfig(**CFG)).eval()


@pytest.fixture
def tokens():
    return torch.tensor([[0, 1, 2, 3, 4], [6, 5, 4, 3, 2]])


def test_every_activation_is_cached_in_order_with_its_shape(model, tokens):
    model.cfg.use_attn_result = True
    logits, cache = model.run_with_cache(tokens)
    assert logits.shape == (BATCH, POS, 7)
    assert [(name, tuple(tensor.shape)) for name, tensor in cache.items()] == list(SHAPES.items())


def test_each_layer_hands_its_residual_stream_to_the_next(model, tokens):
    _, cache = model.run_with_cache(tokens)
    start, middle, end = (cache[f"blocks.0.hook_resid_{place}"] for place in ("pre", "mid", "post"))
    assert torch.equal(start, cache["hook_embed"] + cache["hook_pos_embed"])
    assert torch.equal(middle, start + cache["blocks.0.hook_attn_out"])
    assert torch.equal(end, middle + cache["blocks.0.hook_mlp_out"])
    assert torch.equal(end, cache["blocks.1.hook_resid_pre"])


def test_attention_looks_at_no_later_token(model, tokens):
    _, cache = model.run_with_cache(tokens)
    pattern = cache["blocks.0.attn.hook_pattern"]
    assert pattern.triu(1).count_nonzero() == 0
    assert torch.allclose(pattern.sum(-1), torch.ones(BATCH, HEAD, POS))
    shorter = model(tokens[:, :3])
    assert torch.allclose(model(tokens)[:, :3], shorter, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(SHAPES) - {f"blocks.{layer}.attn.hook_result" for layer in range(2)}))
def test_what_a_hook_returns_at_any_point_reaches_the_logits(model, tokens, name):
    def shake(activation, hook):
        return activation * torch.linspace(1.0, 2.0, activation.numel()).view(activation.shape)

    plain = model(tokens)
    with model.hooks(fwd_hooks=[(name, shake)]):
        assert not torch.allclose(model(tokens), plain, atol=1e-4)


def test_hook_result_is_refused_while_its_flag_is_off(model, tokens):
    with pytest.raises(AssertionError, match=r"'blocks.1.attn.hook_result'.*set model.cfg.use_attn_result = True"):
        model.add_hook(RESULT, lambda activation, hook: None)
    assert not model.hook_dict[RESULT].fwd_hooks
    _, cache = model.run_with_cache(tokens)
    assert RESULT not in cache


def test_hook_result_fires_with_its_flag_on_and_sums_to_the_same_output(model, tokens):
    plain = model(tokens)
    model.cfg.use_attn_result = True
    logits, cache = model.run_with_cache(tokens)
    assert torch.allclose(logits, plain, atol=1e-5)
    summed = cache[RESULT].sum(dim=2) + model.blocks[1].attn.b_O
    assert torch.allclose(summed, cache["blocks.1.hook_attn_out"], atol=1e-6)


def test_a_gradient_reaches_every_hook_point_of_the_residual_stream(model, tokens):
    seen = {}
    names = ["hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    for name in names:
        model.add_hook(name, lambda gradient, hook: seen.__setitem__(hook.name, gradient), dir="bwd")
    model(tokens).sum().backward()
    assert {name: tuple(gradient.shape) for name, gradient in seen.items()} == dict.fromkeys(
        names, (BATCH, POS, D_MODEL)
    )


def test_a_text_beyond_the_context_is_refused(model):
    with pytest.raises(ValueError, match="10 tokens do not fit the context of 9"):
        model(torch.zeros(1, 10, dtype=torch.int64))


def test_dropout_drops_in_training_alone(tokens):
    model = DemoTransformer(DemoConfig(**CFG, dropout=0.5))
    assert not torch.equal(model.train()(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))


def test_hook_points_add_nothing_to_the_weights(model):
    assert not [name for name in model.state_dict() if "hook" in name]


def test_the_shipped_model_knows_the_vocabulary_and_does_not_train(shipped):
    assert shipped.cfg.d_vocab == len(vocabulary())
    assert shipped.cfg.n_ctx == MAX_TOKENS
    assert not shipped.training


def test_greedy_generation_takes_the_likeliest_token_each_time(shipped):
    prompt = encode("It was a sunny morning in Ashby.")
    written = generate(shipped, prompt, 12)
    assert written[: len(prompt)] == prompt
    assert len(written) == len(prompt) + 12
    likeliest = shipped(torch.tensor([written]))[0].argmax(-1).tolist()
    assert written[len(prompt) :] == likeliest[len(prompt) - 1 : -1]


def test_generation_ends_with_the_end_token(shipped):
    written = generate(shipped, encode("It was a sunny morning in Ashby."), 90)
    assert vocabulary()[written[-1]] == "<end>"
    assert decode(written).endswith(".")


def test_generation_ends_where_the_context_is_full(model):
    assert len(generate(model, [1, 2, 3], 100, temperature=5.0)) <= 9
    assert generate(model, [*range(7), 2, 3], 5) == [*range(7), 2, 3]


def test_the_seed_decides_what_is_sampled(shipped):
    prompt = encode("It was a sunny morning in Ashby.")
    texts = [tuple(generate(shipped, prompt, 30, temperature=1.0, seed=seed)) for seed in (0, 0, 1, 2)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_generation_runs_hooks_for_each_token(shipped):
    calls = []
    with shipped.hooks(fwd_hooks=[("hook_embed", lambda activation, hook: calls.append(activation.shape[1]))]):
        generate(shipped, encode("It was a sunny morning in Ashby."), 3)
    assert calls == [9, 10, 11]
