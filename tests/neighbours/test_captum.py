"""captum: attributions of a model with hooks on it, and what it cannot do beside them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hookframe import GradientError, HookPointMoved, instrument


class Classifier(nn.Module):
    def __init__(self, in_place=False):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(10, 4)
        self.first, self.act, self.last = nn.Linear(4, 4), nn.ReLU(inplace=in_place), nn.Linear(4, 2)

    def forward(self, tokens):
        return self.last(self.act(self.first(self.embedding(tokens))).mean(1))


class Careless(Classifier):
    """Uses what an in-place module changed, and not what it returned."""

    def forward(self, tokens):
        hidden = self.first(self.embedding(tokens))
        self.act(hidden)
        return self.last(hidden.mean(1))


@pytest.fixture
def captum():
    return pytest.importorskip("captum.attr")


def test_attributions_are_the_same_with_reading_hooks_on(captum, tokens, look, seen):
    model = Classifier()
    method = captum.LayerIntegratedGradients(model, model.embedding)
    expected = method.attribute(tokens, target=0, n_steps=5)
    with instrument(model).hooks(fwd_hooks=[("first.hook_out", look)], bwd_hooks=[("first.hook_out", look)]):
        found = method.attribute(tokens, target=0, n_steps=5)
    assert torch.allclose(found, expected)
    assert len(seen) > 2


def test_an_edit_takes_part_in_an_attribution(captum, tokens, zero):
    model = Classifier()
    method = captum.LayerIntegratedGradients(model, model.embedding)
    with instrument(model).hooks(fwd_hooks=[("first.hook_out", zero)]):
        assert not method.attribute(tokens, target=0, n_steps=5).any()


def test_an_embedding_that_captum_wraps_wants_setup_before_it_is_called_alone(captum, tokens, look, seen):
    model = Classifier()
    hooked = instrument(model)
    hooked.add_hook("embedding.hook_out", look)
    wrapper = captum.configure_interpretable_embedding_layer(model, "embedding")
    with pytest.raises(HookPointMoved, match=r"call hooked\.setup\(\)"):
        wrapper.indices_to_embeddings(tokens)
    hooked.setup()
    vectors = wrapper.indices_to_embeddings(tokens)
    assert seen == []
    captum.IntegratedGradients(model).attribute(vectors, target=0, n_steps=5)
    assert {name for name, _ in seen} == {"embedding.hook_out"}
    captum.remove_interpretable_embedding_layer(model, wrapper)
    seen.clear()
    hooked(tokens)
    assert [name for name, _ in seen] == ["embedding.hook_out"]


def test_in_place_modules_and_backward_hooks(captum, tokens, look, seen):
    model = Classifier(in_place=True)
    method = captum.LayerIntegratedGradients(model, model.embedding)
    expected = method.attribute(tokens, target=0, n_steps=5)
    with instrument(model).hooks(bwd_hooks=[("first.hook_out", look), ("act.hook_in", look)]):
        assert torch.allclose(method.attribute(tokens, target=0, n_steps=5), expected)
    assert {name for name, _ in seen} == {"first.hook_out", "act.hook_in"}


def test_a_tensor_that_is_used_beside_a_module_that_changes_it_in_place_is_refused_with_backward_hooks(
    captum, tokens, look
):
    model = Careless(in_place=True)
    method = captum.LayerIntegratedGradients(model, model.embedding)
    with instrument(model).hooks(fwd_hooks=[("act.hook_in", look)]):
        method.attribute(tokens, target=0, n_steps=5)
    with pytest.raises(GradientError, match="in place"), instrument(model).hooks(bwd_hooks=[("act.hook_in", look)]):
        method.attribute(tokens, target=0, n_steps=5)
