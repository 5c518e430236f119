"""TransformerLens 4: a TransformerBridge has points of its own, which hookframe takes over."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import hookframe
from hookframe import instrument


@pytest.fixture
def bridge(gpt2, lens_4):
    building = pytest.importorskip("transformer_lens.model_bridge.sources._bridge_builder")
    return building.build_bridge_from_module(gpt2, "GPT2LMHeadModel", hf_config=gpt2.config)


def test_every_name_of_the_bridge_is_a_name_here_and_no_point_is_taken_for_a_module(bridge):
    hooked = instrument(bridge)
    assert set(bridge.hook_dict) <= set(hooked.hook_dict)
    assert not [name for name in hooked.hook_dict if ".hook_in.hook_" in name or ".hook_out.hook_" in name]
    assert hooked.names_of("blocks.0.hook_resid_pre") == ("blocks.0.hook_in", "blocks.0.hook_resid_pre")


def test_a_place_has_the_bridges_aliases(bridge):
    hooked = instrument(bridge)
    place = hooked.hook_dict["blocks.1.hook_resid_post"].place
    assert (place.names, place.layer, place.certain) == (("blocks.1.hook_out", "blocks.1.hook_resid_post"), 1, True)


@pytest.mark.parametrize("options", [{}, {"pos_slice": -1}, {"pos_slice": (0, 2)}, {"remove_batch_dim": True}])
def test_a_cache_has_what_the_bridges_own_cache_has(bridge, tokens, options):
    hooked = instrument(bridge)
    with torch.no_grad():
        _, expected = bridge.run_with_cache(tokens, **options)
        _, found = hooked.run_with_cache(tokens, **options)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_hooks_of_both_fire_and_the_bridges_see_what_hookframes_made(bridge, tokens, zero, look, seen):
    hooked = instrument(bridge)
    with bridge.hooks(fwd_hooks=[("blocks.0.hook_mlp_out", look)]):
        with hooked.hooks(fwd_hooks=[("blocks.0.hook_mlp_out", zero)]):
            bridge(tokens)
        bridge(tokens)
    assert seen[0] == ("blocks.0.mlp.hook_out", 0.0)
    assert seen[1][1] > 0


def test_edits_and_gradients_are_those_that_the_bridge_has(bridge, tokens, zero):
    def keep(gradient, hook, into):
        into[hook.name] = gradient.clone()

    hooked, theirs, ours = instrument(bridge), {}, {}
    name = "blocks.0.attn.hook_z"
    with bridge.hooks(bwd_hooks=[(name, partial(keep, into=theirs))]):
        hooked.run_with_hooks(tokens, bwd_hooks=[(name, partial(keep, into=ours))]).sum().backward()
    (mine,), (other,) = ours.values(), theirs.values()
    assert mine.shape == (1, 4, 2, 8)
    assert torch.allclose(mine, other)
    with torch.no_grad():
        expected = bridge.run_with_hooks(tokens, fwd_hooks=[(name, zero)])
        assert torch.equal(hooked.run_with_hooks(tokens, fwd_hooks=[(name, zero)]), expected)


def test_admission_is_asked_about_hookframes_verbs_and_not_about_the_bridges(bridge, look, seen, tokens):
    class Refusing:
        @hookframe.hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [
                hookframe.Objection.deny(request, rule="none", message="no hooks", remedy="none")
                for request in requests
            ]

    hooked, hook = instrument(bridge), ("blocks.0.hook_mlp_out", look)
    with hookframe.use_plugins(Refusing()):
        with pytest.raises(hookframe.HookDenied, match="no hooks"):
            hooked.add_hook(*hook)
        bridge.run_with_hooks(tokens, fwd_hooks=[hook])
    assert len(seen) == 1


def test_what_the_bridges_own_check_is_asked_about(bridge, tokens, look):
    """The page "Coming from TransformerLens" says this."""
    closed = [("blocks.0.attn.hook_result", look)]
    with pytest.raises(ValueError, match="use_attn_result"):
        bridge.add_hook(*closed[0])
    with pytest.raises(ValueError, match="use_attn_result"), bridge.hooks(fwd_hooks=closed):
        pass
    with pytest.raises(ValueError, match="use_attn_result"):
        bridge.run_with_hooks(tokens, fwd_hooks=closed)
    bridge.hook_dict["blocks.0.attn.hook_result"].add_hook(look)
    assert "blocks.0.attn.hook_result" not in bridge.run_with_cache(tokens)[1]
