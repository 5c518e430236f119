import pytest
from hookframe_log.selector import Selector

NAMES = ["hook_embed", "blocks.0.attn.hook_z", "blocks.0.mlp.hook_pre", "blocks.11.attn.hook_z"]


@pytest.mark.parametrize(
    ("globs", "picked"),
    [
        ((), NAMES),
        (("hook_embed",), ["hook_embed"]),
        (("blocks.*.attn.*",), ["blocks.0.attn.hook_z", "blocks.11.attn.hook_z"]),
        (("blocks.?.*",), ["blocks.0.attn.hook_z", "blocks.0.mlp.hook_pre"]),
        (("hook_e*", "*.mlp.*"), ["hook_embed", "blocks.0.mlp.hook_pre"]),
        (("HOOK_EMBED", "embed"), []),
    ],
)
def test_globs_pick_whole_names_in_their_order(globs, picked):
    assert list(Selector(globs).pick(NAMES)) == picked


def test_each_name_is_picked_once():
    assert Selector().pick(["a", "b", "a"]) == ("a", "b")


def test_the_key_of_a_gradient_goes_with_its_point():
    assert Selector(("*.hook_z",)).pick_keys(["a.hook_z", "a.hook_z_grad", "a.hook_q_grad"]) == (
        "a.hook_z",
        "a.hook_z_grad",
    )
