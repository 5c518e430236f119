"""Points inside of attention, on a small model that finds its attention function as those of transformers do.

The registry of functions stands in for transformers, which is tried with real models in the tests of the plugin.
"""

from __future__ import annotations

import copy
import pickle
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

import hookframe
from hookframe import Family, instrument
from hookframe.instrumenting.attention import attention_with_points
from hookframe.instrumenting.place import inner, out

from .conftest import double, keep, torch_hooks

FUNCTIONS: dict[str, object] = {}
MASKS: dict[str, object] = {}


def eager_attention_forward(module, query, key, value, mask, scaling=1.0):
    """What each modeling file of transformers has under this name."""
    weights = query @ key.transpose(2, 3) * scaling + mask
    weights = nn.functional.softmax(weights, dim=-1)
    return (weights @ value).transpose(1, 2), weights


def eager_mask():
    """Its name is all that counts."""


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """What transformers has to register attention functions with."""

    def interface(table):
        return SimpleNamespace(register=table.__setitem__)

    top, masking = ModuleType("transformers"), ModuleType("transformers.masking_utils")
    top.AttentionInterface, top.AttentionMaskInterface = interface(FUNCTIONS), interface(MASKS)
    masking.eager_mask = eager_mask
    monkeypatch.setitem(sys.modules, "transformers", top)
    monkeypatch.setitem(sys.modules, "transformers.masking_utils", masking)
    FUNCTIONS.clear()
    MASKS.clear()


class Config:
    def __init__(self):
        self.model_type = "attending"
        self._attn_implementation = "eager"


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        used = self.config._attn_implementation
        function = eager_attention_forward if used == "eager" else FUNCTIONS[used]
        mixed, weights = function(self, q, k, v, torch.zeros(1), scaling=0.5)
        return mixed.flatten(-2), weights


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = Config()
        self.layers = nn.ModuleList(Attention(self.config) for _ in range(2))

    def forward(self, x):
        patterns = []
        for layer in self.layers:
            x, weights = layer(x)
            patterns.append(weights)
        return x, patterns


ATTENDING = Family(
    name="attending",
    model_types=("attending",),
    names={
        "blocks.{i}.hook_attn_out": out("layers.{i}"),
        "blocks.{i}.attn.hook_rot_q": inner("layers.{i}", "query"),
        "blocks.{i}.attn.hook_rot_k": inner("layers.{i}", "key"),
        "blocks.{i}.attn.hook_attn_scores": inner("layers.{i}", "scores"),
        "blocks.{i}.attn.hook_pattern": inner("layers.{i}", "pattern"),
    },
)


@pytest.fixture
def attending():
    torch.manual_seed(0)
    return Attending()


@pytest.fixture
def x():
    return torch.randn(2, 3, 8)


def test_the_points_show_what_the_eager_function_computes(attending, x):
    expected, patterns = attending(x)
    hooked = instrument(attending, family=ATTENDING)
    (output, _), cache = hooked.run_with_cache(x)
    assert torch.equal(output, expected)
    q, k, _ = attending.layers[0].qkv(x).chunk(3, -1)
    for i in range(2):
        assert torch.equal(cache[f"blocks.{i}.attn.hook_pattern"], patterns[i])
        assert torch.equal(cache[f"blocks.{i}.attn.hook_attn_scores"].softmax(-1), patterns[i])
    assert torch.equal(cache["blocks.0.attn.hook_rot_q"].flatten(-2), q)
    assert torch.equal(cache["blocks.0.attn.hook_rot_k"].flatten(-2), k)
    assert {"hookframe-eager": eager_mask} == MASKS


@pytest.mark.parametrize(("inside", "factors"), [("rot_q", (2, 1)), ("rot_k", (1, 2)), ("attn_scores", (2, 1))])
def test_an_edit_inside_is_the_same_edit_by_hand(attending, x, inside, factors, monkeypatch):
    hooked = instrument(attending, family=ATTENDING)
    edited, _ = hooked.run_with_hooks(x, fwd_hooks=[(f"blocks.1.attn.hook_{inside}", double)])
    plain, _ = attending(x)

    def by_hand(module, query, key, *args, **kwargs):
        if module is attending.layers[1]:
            query, key = query * factors[0], key * factors[1]
        return eager_attention_forward(module, query, key, *args, **kwargs)

    FUNCTIONS["by-hand"] = by_hand
    attending.config._attn_implementation = "by-hand"
    assert torch.allclose(attending(x)[0], edited, atol=1e-6)
    assert not torch.allclose(plain, edited)


def test_an_edited_pattern_mixes_the_values(attending, x):
    hooked = instrument(attending, family=ATTENDING)
    first = lambda pattern, hook: nn.functional.one_hot(torch.zeros(3, dtype=torch.long), 3).float().expand_as(pattern)
    (output, patterns) = hooked.run_with_hooks(x, fwd_hooks=[("blocks.0.attn.hook_pattern", first)])
    value = attending.layers[0].qkv(x)[..., 16:]
    assert (patterns[0][..., 0] == 1).all()
    assert torch.equal(output, attending.layers[1](value[:, :1].expand_as(value))[0])


def test_the_configuration_is_changed_while_something_is_attached_and_at_no_other_time(attending, x):
    hooked = instrument(attending, family=ATTENDING)
    used = lambda: attending.config._attn_implementation
    assert used() == "eager"
    one = hooked.add_hook("blocks.0.attn.hook_pattern", keep)
    two = hooked.add_hook("blocks.1.attn.hook_attn_scores", keep)
    three = hooked.add_hook("blocks.1.attn.hook_pattern", keep)
    assert used() == "hookframe-eager"
    one.remove()
    three.remove()
    assert used() == "hookframe-eager"
    two.remove()
    assert used() == "eager"
    assert type(used()) is str
    assert torch_hooks(attending) == {}


@pytest.mark.parametrize("other", ["sdpa", "eager"])
@pytest.mark.parametrize("names", [["pattern"], ["pattern", "attn_scores"]])
def test_an_implementation_that_is_set_meanwhile_stays_and_is_the_reason_for_silence(attending, x, other, names):
    FUNCTIONS["sdpa"] = eager_attention_forward
    hooked = instrument(attending, family=ATTENDING)
    with pytest.warns(hookframe.HookDidNotFireWarning, match=f"never fired: .* was set to '{other}' after") as told:
        with hooked.hooks([(f"blocks.{i}.attn.hook_{name}", double) for i in range(2) for name in names]):
            attending.config._attn_implementation = other
            hooked(x)
            assert f"set to '{other}'" in hooked.hook_dict["blocks.0.attn.hook_pattern"].why_silent()
    assert len(told) == 2 * len(names)
    assert attending.config._attn_implementation == other
    assert type(attending.config._attn_implementation) is str


def test_a_point_that_is_attached_to_again_is_fed_again(attending, x):
    hooked = instrument(attending, family=ATTENDING)
    lost = hooked.add_hook("blocks.0.attn.hook_pattern", keep)
    attending.config._attn_implementation = "eager"
    seen = []
    handle = hooked.add_hook("blocks.0.attn.hook_attn_scores", lambda t, hook: seen.append(t))
    hooked(x)
    assert len(seen) == 1
    assert hooked.hook_dict["blocks.0.attn.hook_pattern"].why_silent() is None
    handle.remove()
    assert attending.config._attn_implementation == "hookframe-eager"
    lost.remove()
    assert attending.config._attn_implementation == "eager"
    assert hooked.hook_dict["blocks.0.attn.hook_pattern"].why_silent() is None


def test_a_copy_that_is_made_meanwhile_computes_eagerly(attending, x):
    hooked = instrument(attending, family=ATTENDING)
    with hooked.hooks(fwd_hooks=[("blocks.0.attn.hook_pattern", double)]):
        copies = copy.deepcopy(attending), pickle.loads(pickle.dumps(attending))
    expected, _ = attending(x)
    for other in copies:
        assert other.config._attn_implementation == "eager"
        assert type(other.config._attn_implementation) is str
        assert torch.equal(other(x)[0], expected)


def test_an_implementation_that_shows_nothing_is_refused_with_the_remedy(attending, x):
    attending.config._attn_implementation = "sdpa"
    hooked = instrument(attending, family=ATTENDING)
    with pytest.raises(hookframe.HookPointClosed, match=r"computed by 'sdpa'.*attn_implementation='eager'"):
        hooked.add_hook("blocks.0.attn.hook_pattern", keep)
    assert torch_hooks(attending) == {}
    assert attending.config._attn_implementation == "sdpa"
    assert hooked.active_points == ()


def test_a_module_without_an_eager_function_is_refused():
    class Foreign(nn.Identity):
        config = Config()

    Foreign.__module__ = "builtins"
    module = nn.Sequential(Foreign())
    module.layers = nn.ModuleList([module[0]])
    hooked = instrument(module, family=ATTENDING)
    with pytest.raises(hookframe.HookPointClosed, match="has no eager attention function"):
        hooked.add_hook("blocks.0.attn.hook_pattern", keep)
    with pytest.raises(hookframe.HookPointClosed, match="has no eager attention function"):
        attention_with_points(module[0], torch.ones(1), torch.ones(1))


def test_points_inside_follow_an_attention_module_that_is_replaced(attending, x):
    hooked = instrument(attending, family=ATTENDING)
    seen = []
    handle = hooked.add_hook("blocks.0.attn.hook_pattern", lambda pattern, hook: seen.append(pattern))
    before, attending.layers[0] = attending.layers[0], Attention(attending.config)
    _, patterns = hooked(x)
    assert torch.equal(seen[0], patterns[0])
    before(x)  # nobody listens to it any more
    assert len(seen) == 1
    handle.remove()
    assert attending.config._attn_implementation == "eager"


def test_gradients_reach_the_scores(attending, x):
    hooked = instrument(attending, family=ATTENDING)
    got = {}
    names = ["blocks.1.attn.hook_attn_scores", "blocks.1.attn.hook_pattern"]
    with hooked.hooks(bwd_hooks=[(name, lambda g, hook: got.update({hook.name: g})) for name in names]):
        output, patterns = hooked(x)
        output.pow(2).sum().backward()
    pattern, gradient = patterns[1], got["blocks.1.attn.hook_pattern"]
    expected = pattern * (gradient - (gradient * pattern).sum(-1, keepdim=True))
    assert torch.allclose(got["blocks.1.attn.hook_attn_scores"], expected, atol=1e-6)


def test_inner_points_are_no_synonyms_of_each_other(attending):
    hooked = instrument(attending, family=ATTENDING)
    other = instrument(attending, family=ATTENDING)
    point = hooked.hook_dict["blocks.0.attn.hook_pattern"]
    assert point.place.others == (point.name,)
    assert point.other_owners(hooked) == [other]
    assert other.name_of(point) == "blocks.0.attn.hook_pattern"
    assert hooked.name_of(nn.Identity()) is None
