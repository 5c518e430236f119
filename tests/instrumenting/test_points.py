"""What a point on somebody else's module shows, and what an edit there does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import hookframe
from hookframe import instrument
from hookframe.instrumenting.place import out

from .conftest import SMALL, Frozen, Head, Output, Pair, double, keep


def edited_by_hand(model, module, edit, *args, pre=False):
    register = module.register_forward_pre_hook if pre else module.register_forward_hook
    handle = register(edit, with_kwargs=True) if pre else register(edit)
    try:
        return model(*args)
    finally:
        handle.remove()


def test_each_module_has_a_point_at_either_side_and_canonical_names_come_first(model):
    hooked = instrument(model, family=SMALL)
    names = list(hooked.hook_dict)
    assert {f"{name}.hook_{side}" for name in dict(model.named_modules()) if name for side in ("in", "out")} <= {*names}
    assert names[0] == "hook_in"
    assert names[-1] == "hook_out"
    assert hooked.names_of("layers.1.hook_out") == ("blocks.1.hook_resid_post", "layers.1.hook_out")
    assert hooked.hook_dict["layers.1.hook_out"] is hooked.hook_dict["blocks.1.hook_resid_post"]
    assert hooked.hook_dict["layers.1.hook_out"].layer() == 1
    with pytest.raises(ValueError, match="no number"):
        hooked.hook_dict["hook_embed"].layer()


def test_the_cache_equals_what_torchs_own_hooks_see(model, tokens):
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, a, output, name=name: seen.update({name: output}))
    _, cache = instrument(model).run_with_cache(tokens)
    plain = {name: value for name, value in seen.items() if isinstance(value, torch.Tensor)}
    assert len(plain) > 10
    assert all(torch.equal(cache[f"{name}.hook_out"], value) for name, value in plain.items())
    assert torch.equal(cache["layers.0.hook_out"], seen["layers.0"][0])
    assert torch.equal(cache["layers.0.attn.hook_out"], seen["layers.0.attn"].hidden_states)
    assert torch.equal(cache["hook_out"], seen[""].logits)
    assert torch.equal(cache["head.hook_out"], seen["head"].value)


def test_an_edit_of_an_output_keeps_everything_else_of_it(model, tokens):
    hooked = instrument(model)
    plain = model(tokens, loss=torch.tensor(1.0))
    edited = hooked.run_with_hooks(tokens, loss=torch.tensor(1.0), fwd_hooks=[("hook_out", double)])
    assert type(edited) is Output
    assert edited.note == "kept"
    assert edited.loss == 1
    assert torch.equal(edited.logits, plain.logits * 2)

    by_hand = edited_by_hand(model, model.layers[0].attn, lambda m, a, o: Pair(o.hidden_states * 2, o.weights), tokens)
    through = hooked.run_with_hooks(tokens, fwd_hooks=[("layers.0.attn.hook_out", double)])
    assert torch.equal(through.logits, by_hand.logits)
    assert not torch.equal(through.logits, plain.logits)

    by_hand = edited_by_hand(model, model.layers[0], lambda m, a, o: (o[0] * 2, o[1]), tokens)
    assert torch.equal(hooked.run_with_hooks(tokens, fwd_hooks=[("layers.0.hook_out", double)]).logits, by_hand.logits)


def test_an_edit_of_an_input_reaches_the_module_by_position_and_by_keyword(model, tokens):
    hooked = instrument(model)
    first = lambda m, args, kwargs: ((args[0] * 2, *args[1:]), kwargs)
    by_hand = edited_by_hand(model, model.layers[1], first, tokens, pre=True)
    assert torch.equal(hooked.run_with_hooks(tokens, fwd_hooks=[("layers.1.hook_in", double)]).logits, by_hand.logits)
    keyword = lambda m, args, kwargs: (args, kwargs | {"hidden_states": kwargs["hidden_states"] * 2})
    by_hand = edited_by_hand(model, model.layers[1].attn, keyword, tokens, pre=True)
    through = hooked.run_with_hooks(tokens, fwd_hooks=[("layers.1.attn.hook_in", double)])
    assert torch.equal(through.logits, by_hand.logits)


def test_a_frozen_dataclass_is_replaced_and_what_came_out_is_not_changed():
    module, x, came_out = Head(), torch.ones(2), []
    forward = module.forward
    module.forward = lambda x: came_out.append(forward(x)) or came_out[-1]
    edited = instrument(module).run_with_hooks(x, fwd_hooks=[("hook_out", double)])
    assert type(edited) is Frozen
    assert edited.note == "kept"
    assert torch.equal(edited.value, x * 4)
    assert torch.equal(came_out[0].value, x * 2)


class Mapped(nn.Module):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x):
        return self.made(x)


@pytest.mark.parametrize(
    ("made", "pick"),
    [
        (lambda x: {"loss": x.sum(), "b": x}, lambda o: o["b"]),
        (lambda x: {"b": x, "logits": x + 1}, lambda o: o["logits"] - 1),
        (lambda x: ["no", x], lambda o: o[1]),
        (lambda x: Pair(None, x), lambda o: o.weights),
        (lambda x: SimpleNamespace(x=x), None),
        (lambda x: None, None),
    ],
)
def test_the_tensor_that_an_output_means(made, pick):
    hooked, x = instrument(Mapped(made)), torch.arange(1.0, 3.0)
    seen = []
    observers = [(lambda name: name.startswith("hook_"), lambda t, hook: seen.append(hook.name))]
    with hooked.hooks(fwd_hooks=observers):
        plain = hooked(x)
    assert seen == ["hook_in", "hook_out"][: 1 + (pick is not None)]
    if pick is not None:
        assert torch.equal(pick(plain), x)
        edited = hooked.run_with_hooks(x, fwd_hooks=[("hook_out", lambda t, hook: t + 5)])
        assert type(edited) is type(plain)
        assert torch.equal(pick(edited), x + 5)


def test_a_family_names_items_parts_and_heads(model, tokens):
    hooked = instrument(model, family=SMALL)
    _, cache = hooked.run_with_cache(tokens)
    fused = cache["layers.0.attn.fused.hook_out"]
    for place, part in enumerate("qkv"):
        value = cache[f"blocks.0.attn.hook_{part}"]
        assert value.shape == (2, 3, 2, 4)
        assert torch.equal(value.flatten(-2), fused[..., 8 * place : 8 * place + 8])
    assert cache["blocks.0.attn.hook_z"].shape == (2, 3, 2, 4)
    assert cache["blocks.0.attn.hook_pattern"].shape == (2, 2, 3, 3)
    assert torch.allclose(cache["blocks.0.attn.hook_pattern"].sum(-1), torch.ones(2, 2, 3))


def test_an_item_that_a_module_does_not_return_does_not_fire(tokens):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Embedding(11, 4)])

        def forward(self, tokens):
            return self.layers[0](tokens)

    names = {f"item.{item}": out("layers.0", item=item) for item in (0, 1, "weights")}
    hooked = instrument(Twice(), family=replace(SMALL, names=names))
    _, cache = hooked.run_with_cache(tokens)
    assert "item.0" in cache
    assert not {"item.1", "item.weights"} & set(cache)


def test_a_cache_can_be_asked_by_any_name(model, tokens):
    hooked = instrument(model, family=SMALL)
    _, cache = hooked.run_with_cache(tokens)
    assert cache["layers.1.hook_out"] is cache["blocks.1.hook_resid_post"]
    assert cache["again.hook_out"] is cache["act.hook_out"]
    with pytest.raises(hookframe.UnknownActivation, match=r"layers\.7\.hook_out"):
        cache["layers.7.hook_out"]


def test_an_edit_of_a_part_leaves_the_others(model, tokens):
    hooked = instrument(model, family=SMALL)

    def second_head(t, hook):
        t = t.clone()
        t[:, :, 1] = 0
        return t

    def by_hand(module, args, output):
        output = output.clone()
        output[..., 16 + 4 : 24] = 0
        return output

    expected = edited_by_hand(model, model.layers[0].attn.fused, by_hand, tokens)
    edited = hooked.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_v", second_head)])
    assert torch.equal(edited.logits, expected.logits)


def test_gradients_arrive_at_parts_as_autograd_has_them(model, tokens):
    hooked = instrument(model, family=SMALL)
    got = {}
    names = ("blocks.0.attn.hook_k", "layers.1.hook_out", "layers.0.hook_in")
    with hooked.hooks(bwd_hooks=[(name, lambda g, hook: got.update({hook.name: g.clone()})) for name in names]):
        hooked(tokens).logits.pow(2).sum().backward()
    kept = {}
    model.zero_grad()
    model.layers[0].attn.fused.register_forward_hook(lambda m, a, o: (o.retain_grad(), kept.update(k=o))[1] and None)
    model.layers[1].register_forward_hook(lambda m, a, o: (o[0].retain_grad(), kept.update(post=o[0]))[1] and None)
    model(tokens).logits.pow(2).sum().backward()
    assert torch.allclose(got["blocks.0.attn.hook_k"].flatten(-2), kept["k"].grad[..., 8:16])
    assert torch.allclose(got["layers.1.hook_out"], kept["post"].grad)
    assert got["layers.0.hook_in"].shape == (2, 3, 8)


def test_a_position_slice_goes_by_the_family(model, tokens):
    hooked = instrument(model, family=SMALL)
    _, whole = hooked.run_with_cache(tokens)
    _, cache = hooked.run_with_cache(tokens, pos_slice=-1)
    for name in ("blocks.0.hook_resid_pre", "blocks.0.attn.hook_q"):
        assert torch.equal(cache[name], whole[name][:, -1:])
    assert torch.equal(cache["blocks.0.attn.hook_pattern"], whole["blocks.0.attn.hook_pattern"][:, :, -1:])


def test_points_can_be_chosen(model):
    hooked = instrument(model, points=lambda name: name.startswith("blocks.0"), family=SMALL)
    assert {name.split(".")[1] for name in hooked.hook_dict} == {"0"}
    assert "layers.0.hook_out" in hooked.hook_dict  # another name of one that was chosen
    assert list(instrument(model, points="embed.hook_out").hook_dict) == ["embed.hook_out"]
    with pytest.raises(hookframe.UnknownHookPoint, match=r"did you mean .*embed\.hook_out"):
        instrument(model, points="embed.hook_put")


def test_a_shared_module_has_one_point_with_several_names(model, tokens):
    hooked = instrument(model)
    assert hooked.names_of("again.hook_out") == ("act.hook_out", "again.hook_out")
    seen = []
    hooked.add_hook("again.hook_out", lambda t, hook: seen.append((hook.name, hook.call, hook.forward_index)))
    hooked(tokens)
    model(tokens)
    assert seen == [("again.hook_out", call, forward) for forward in (0, 1) for call in (0, 1, 2)]


def test_calls_are_counted_within_each_forward_and_thread(model, tokens):
    hooked = instrument(model)
    point = hooked.hook_dict["act.hook_in"]
    assert (point.call, hooked.forward_index) == (-1, -1)
    with hooked.hooks(fwd_hooks=[("act.hook_in", keep), ("hook_in", keep)]):
        hooked(tokens)
        assert (point.call, hooked.hook_dict["hook_in"].call, hooked.forward_index) == (2, 0, 0)
        hooked(tokens)
        assert (point.call, hooked.forward_index) == (2, 1)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (3, "a int is no torch.nn.Module"),
        (nn.Linear, "a type is no torch.nn.Module"),
    ],
)
def test_what_cannot_be_instrumented_says_so(given, match):
    with pytest.raises(hookframe.CannotInstrument, match=match):
        instrument(given)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_model_is_not_instrumented():
    with pytest.raises(hookframe.CannotInstrument, match="is scripted"):
        instrument(torch.jit.trace(nn.Linear(1, 1), torch.ones(1)))


def test_a_model_with_points_of_its_own_is_not_instrumented(model):
    with pytest.raises(hookframe.CannotInstrument, match=r"instrument its \.wrapped model again"):
        instrument(instrument(model))
    with pytest.raises(hookframe.CannotInstrument, match="use its own verbs"):
        instrument(hookframe.HookedRootModule())


def test_modules_that_are_not_there_or_contain_each_other_are_no_trouble():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = None
            self.register_module("absent", None)
            self.inner = nn.Linear(2, 2)
            self.inner.outer = self

        def forward(self, x):
            return self.inner(x)

    hooked = instrument(Odd())
    assert list(hooked.hook_dict) == ["hook_in", "inner.hook_in", "inner.hook_out", "hook_out"]
    _, cache = hooked.run_with_cache(torch.ones(1, 2))
    assert len(cache) == 4


def test_items_of_dataclasses_are_found_by_their_fields(model, tokens):
    names = {"logits.{i}": out("layers.{i}.attn", item="weights"), "value": out("head", item="value")}
    hooked = instrument(model, family=replace(SMALL, names=names))
    _, cache = hooked.run_with_cache(tokens, names_filter=["logits.0", "value"])
    assert cache["logits.0"].shape == (2, 2, 3, 3)
    edited = hooked.run_with_hooks(tokens, fwd_hooks=[("value", double)])
    assert torch.equal(edited.logits, model(tokens).logits * 2)
