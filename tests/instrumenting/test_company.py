"""Points in company: of other instruments, of foreign torch hooks, of modules that are replaced or compiled, of policies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hookframe
from hookframe import HooksLostWarning, Objection, hookimpl, instrument

from .conftest import SMALL, double, keep, torch_hooks


def add_one(tensor, hook):
    return tensor + 1


# ---- two instruments ------------------------------------------------------------------------------------------------


def test_two_instruments_work_on_one_torch_hook_in_the_order_of_attaching(model, tokens):
    first, second = instrument(model, family=SMALL), instrument(model)
    one = second.add_hook("embed.hook_out", double)
    first.add_hook("hook_embed", add_one)
    assert len(model.embed._forward_hooks) == 1
    _, cache = first.run_with_cache(tokens, names_filter="hook_embed")
    assert torch.equal(cache["hook_embed"], model.embed.weight[tokens] * 2 + 1)
    one.remove()
    _, cache = second.run_with_cache(tokens, names_filter="embed.hook_out")
    assert torch.equal(cache["embed.hook_out"], model.embed.weight[tokens] + 1)
    first.release()
    _, cache = second.run_with_cache(tokens, names_filter="embed.hook_out")
    assert torch.equal(cache["embed.hook_out"], model.embed.weight[tokens])
    assert torch_hooks(model) == {}


def test_an_instrument_on_a_part_of_the_model_sees_the_same_place(model, tokens):
    whole, part = instrument(model), instrument(model.layers[0])
    part.add_hook("attn.hook_out", double)
    _, cache = whole.run_with_cache(tokens, names_filter=["layers.0.attn.hook_out", "layers.0.attn.out.hook_out"])
    assert torch.equal(cache["layers.0.attn.hook_out"], cache["layers.0.attn.out.hook_out"] * 2)


def test_the_check_of_one_instrument_is_asked_about_the_hooks_of_another(model):
    asked = []

    class Guarded(hookframe.InstrumentedModel):
        def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
            asked.append(hook_point_name)
            raise AssertionError(f"{hook_point_name} is mine")

    guarded, other = Guarded(model, SMALL), instrument(model)
    with pytest.raises(AssertionError, match="hook_embed is mine"):
        other.add_hook("embed.hook_out", keep)
    assert torch_hooks(model) == {}
    guarded.release()
    other.add_hook("embed.hook_out", keep)
    assert asked == ["hook_embed"]


def test_the_controller_of_another_instrument_is_asked_as_well(model):
    class Refuses:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [Objection.deny(requests[0], rule="theirs", message="no", remedy="none")]

    first, second = instrument(model), instrument(model)
    first.admission_controller = hookframe.PluginManager(Refuses())
    with pytest.raises(hookframe.HookDenied, match="theirs"):
        second.add_hook("embed.hook_out", keep)


# ---- foreign hooks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_foreign_hooks_see_what_ours_made_of_the_output_whoever_came_first(model, tokens, first):
    hooked, seen = instrument(model), []
    if first == "ours":
        hooked.add_hook("embed.hook_out", double)
    theirs = model.embed.register_forward_hook(lambda m, a, o: seen.append(o))
    before = model.embed.register_forward_pre_hook(lambda m, a: None)
    if first == "theirs":
        hooked.add_hook("embed.hook_out", double)
    hooked(tokens)
    assert torch.equal(seen[0], model.embed.weight[tokens] * 2)
    hooked.release()
    assert [*model.embed._forward_hooks, *model.embed._forward_pre_hooks] == [theirs.id, before.id]


# ---- modules that are replaced --------------------------------------------------------------------------------------


class Wrapped(nn.Module):
    """What an adapter does: takes the place of a module and calls it."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def forward(self, x):
        return self.base(x) + 100


def test_hooks_follow_a_module_that_is_replaced(model, tokens):
    hooked = instrument(model, family=SMALL)
    seen = []
    hooked.add_hook("hook_embed", lambda t, hook: seen.append(t))
    model.embed = Wrapped(model.embed)
    with pytest.raises(hookframe.HookPointMoved, match=r"'hook_embed' was replaced .* call hooked\.setup\(\)"):
        model(tokens)
    hooked(tokens)  # notices, and moves the point
    model(tokens)
    assert [bool((t > 50).all()) for t in seen] == [True, True]
    assert {where for where, _ in torch_hooks(model)} == {"", "embed"}
    assert hooked.names_of("embed.base.hook_out") == ("embed.base.hook_out",)
    hooked.release()
    assert torch_hooks(model) == {}


def test_hooks_go_with_a_module_that_is_removed(model):
    hooked = instrument(model)
    handle = hooked.add_hook("layers.1.hook_out", keep)
    removed = model.layers[1]
    del model.layers[1]
    with pytest.warns(
        HooksLostWarning, match="replaced or deleted, and 1 hooks with them: .*keep.* at 'layers.1.hook_out'"
    ):
        hooked.add_hook("embed.hook_out", keep)
    assert not torch_hooks(removed)
    assert "layers.1.hook_out" not in hooked.hook_dict
    handle.remove()  # does nothing


def test_a_module_that_is_added_has_points(model, tokens):
    hooked = instrument(model)
    model.layers[0].mlp.append(nn.Identity())
    _, cache = hooked.run_with_cache(tokens, names_filter="layers.0.mlp.2.hook_out")
    assert cache.nbytes


# ---- compiled modules -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["replaced", "in place"])
def compiled(model, request):
    torch._dynamo.reset()
    if request.param == "replaced":
        model.layers[0] = torch.compile(model.layers[0], backend="eager")
    else:
        model.layers[0].compile(backend="eager")
    with torch.no_grad():  # torch warns of itself when it compiles behind a tensor with a gradient
        yield model
    torch._dynamo.reset()


def test_points_inside_of_compiled_modules_are_refused_and_those_around_work(compiled, tokens):
    hooked = instrument(compiled, family=SMALL)
    plain = hooked(tokens).logits
    with pytest.raises(
        hookframe.HookPointClosed, match=r"inside of a compiled module \(layers\.0\).*attach before compiling"
    ):
        hooked.add_hook("blocks.0.hook_attn_out", keep)
    edited = hooked.run_with_hooks(tokens, fwd_hooks=[("blocks.0.hook_resid_post", double)]).logits
    assert not torch.allclose(plain, edited)
    _, cache = hooked.run_with_cache(tokens)
    assert "blocks.0.hook_attn_out" in cache.skipped
    assert "blocks.1.hook_attn_out" in cache
    assert "blocks.0.hook_resid_pre" in cache
    assert torch.allclose(hooked(tokens).logits, plain)


def test_hooks_attached_before_compiling_fire_and_go(model, tokens):
    torch._dynamo.reset()
    plain = model(tokens).logits
    hooked = instrument(model, family=SMALL)
    handle = hooked.add_hook("blocks.0.hook_attn_out", double)
    expected = model(tokens).logits
    compiled = torch.compile(model, backend="eager")
    assert torch.allclose(compiled(tokens).logits, expected)
    handle.remove()
    assert torch.allclose(compiled(tokens).logits, plain)
    assert not torch.allclose(expected, plain)
    torch._dynamo.reset()


# ---- names and gates in admission -----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["by a plugin", "by hand"])
def test_requests_carry_every_name_of_the_place(model, manager, given):
    """What edits the whole edits the part, but one part is not another; what a user calls a place allows nothing."""
    seen = {}

    class Recorder:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            seen.update({request.point: (set(request.names), set(request.aliases)) for request in requests})

        @hookimpl
        def hookframe_model_families(self):
            return [SMALL] if given == "by a plugin" else []

    manager.register(Recorder())
    hooked = instrument(model, family=SMALL)
    fused, out, pattern = "layers.0.attn.fused.hook_out", "layers.0.hook_out", "blocks.0.attn.hook_pattern"
    resid, q = "blocks.0.hook_resid_post", "blocks.0.attn.hook_q"
    for name in (out, q, fused, pattern):
        hooked.add_hook(name, keep)
    parts = {f"blocks.0.attn.hook_{x}" for x in "qkv"}
    if given == "by a plugin":
        assert seen == {
            out: ({out, resid}, set()),
            q: ({q, fused}, set()),
            fused: ({fused}, parts),
            pattern: ({pattern}, set()),
        }
    else:
        assert seen == {
            out: ({out}, {resid}),
            q: ({fused}, {q}),
            fused: ({fused}, parts),
            pattern: (set(), {pattern}),
        }


def test_a_rule_about_canonical_names_holds_for_module_names(model, manager):
    class NoResidual:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            hit = [r for r in requests if r.matches("**.hook_resid_post")]
            return [Objection.deny(r, rule="stream", message="read-only", remedy="cache it") for r in hit]

    manager.register(NoResidual())
    hooked = instrument(model, family=SMALL)
    with pytest.raises(hookframe.HookDenied, match="read-only"):
        hooked.add_hook("layers.1.hook_out", keep)
    hooked.add_hook("layers.1.hook_in", keep)
