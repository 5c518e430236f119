"""What instrumenting leaves on a model: nothing while nothing is attached, and nothing afterwards."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch

import hookframe
from hookframe import hookimpl, instrument

from .conftest import SMALL, Model, double, keep, torch_hooks


def dump(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    return buffer.getvalue()


def insides(model):
    """All that a model's modules carry, as comparable values."""
    return {
        name: {key: dict(value) if isinstance(value, dict) else value for key, value in module.__dict__.items()}
        for name, module in model.named_modules()
    }


def test_idle_costs_nothing(model, tokens):
    before = insides(model)
    hooked = instrument(model, family=SMALL)
    assert torch_hooks(model) == {}
    assert insides(model) == before
    hooked.run_with_cache(tokens)
    hooked.run_with_hooks(tokens, fwd_hooks=[(lambda name: True, keep)])
    assert torch_hooks(model) == {}
    assert insides(model) == before
    assert hooked.active_points == ()


def test_a_torch_hook_is_where_a_function_is_attached_and_nowhere_else(model):
    hooked = instrument(model, family=SMALL)
    handles = [
        hooked.add_hook("blocks.1.attn.hook_q", keep),
        hooked.add_hook("layers.1.attn.fused.hook_out", keep),
        hooked.add_hook("layers.0.hook_in", keep, dir="bwd"),
    ]
    expected = {
        ("", "_forward_pre_hooks"): 1,  # counts forwards while anything is attached
        ("layers.1.attn.fused", "_forward_hooks"): 1,
        ("layers.0", "_forward_pre_hooks"): 1,
    }
    assert {where: len(hooks) for where, hooks in torch_hooks(model).items()} == expected
    assert hooked.active_points == ("blocks.0.hook_resid_pre", "layers.1.attn.fused.hook_out", "blocks.1.attn.hook_q")
    for handle in handles:
        handle.remove()
    assert torch_hooks(model) == {}


def test_nothing_is_left_when_a_batch_is_refused(model, manager):
    class Refuses:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            return [hookframe.Objection.deny(requests[-1], rule="no", message="no", remedy="none")]

    hooked = instrument(model)
    manager.register(Refuses())
    with pytest.raises(hookframe.HookDenied, match="no"):
        hooked.add_hook(lambda name: True, keep)
    assert torch_hooks(model) == {}


def test_released_it_is_byte_for_byte_what_it_was(model, tokens):
    before, dumped, output = insides(model), dump(model), model(tokens).logits
    foreign = model.layers[0].register_forward_hook(lambda m, a, o: None)
    with instrument(model, family=SMALL) as hooked:
        hooked.add_hook(lambda name: name.endswith("hook_out"), double)
        hooked.add_perma_hook("hook_embed", double)
        assert not torch.equal(model(tokens).logits, output)
    assert list(model.layers[0]._forward_hooks) == [foreign.id]
    foreign.remove()
    assert insides(model) == before
    assert dump(model) == dumped
    assert torch.equal(model(tokens).logits, output)
    hooked.release()  # again: does nothing


def test_released_it_takes_nothing_any_more(model, tokens):
    hooked = instrument(model)
    point = hooked.hook_dict["embed.hook_out"]
    hooked.release()
    for use in (
        lambda: hooked.add_hook("embed.hook_out", keep),
        lambda: hooked.run_with_cache(tokens),
        lambda: hooked.setup(),
        lambda: point.add_hook(keep),
    ):
        with pytest.raises(hookframe.InstrumentReleased, match=r"call hookframe\.instrument\(model\) again"):
            use()
    assert torch_hooks(model) == {}
    assert torch.equal(hooked(tokens).logits, model(tokens).logits)
    assert "released" in repr(hooked)


def test_a_plugin_may_hold_permanent_hooks_against_release(model, manager):
    class Holds:
        @hookimpl
        def hookframe_check_reset(self, request):
            return [hookframe.Objection.deny(request, rule="held", message="held", remedy="ask")]

    manager.register(Holds())
    hooked = instrument(model)
    hooked.add_perma_hook("embed.hook_out", keep)
    with pytest.raises(hookframe.HookDenied, match="held"):
        hooked.release()
    assert hooked.active_points == ("embed.hook_out",)
    hooked.add_hook("act.hook_out", keep)  # it goes on working


def test_the_model_can_be_collected(tokens):
    model = Model()
    hooked = instrument(model, family=SMALL)
    hooked.add_hook("hook_embed", keep)
    hooked(tokens)
    gone = weakref.ref(model)
    del model, hooked
    gc.collect()
    assert gone() is None


# ---- the model goes on being itself ---------------------------------------------------------------------------------


def test_parameters_state_dict_and_modes_are_the_models_own(model):
    hooked = instrument(model)
    assert list(hooked.state_dict()) == list(model.state_dict())
    assert all(a is b for a, b in zip(hooked.parameters(), model.parameters(), strict=True))
    assert dict(hooked.named_modules()) == dict(model.named_modules())
    assert dict(hooked.named_children()) == dict(model.named_children())
    assert hooked.eval() is hooked
    assert not model.training
    assert not hooked.training
    model.train()
    assert hooked.training
    assert hooked.config is model.config
    assert hooked.layers is model.layers
    hooked.load_state_dict({name: torch.zeros_like(value) for name, value in model.state_dict().items()})
    assert not model.embed.weight.any()
    hooked.apply(lambda module: module.register_buffer("seen", torch.ones(1)))
    assert model.layers[0].seen.device == model.seen.device
    hooked.double()
    assert model.embed.weight.dtype == torch.float64
    assert hooked.to(torch.float32) is hooked
    assert model.embed.weight.dtype == torch.float32
    with pytest.raises(AttributeError, match="no_such"):
        hooked.no_such
    assert "128 names" not in repr(hooked)
    assert "Model" in repr(hooked)


def test_a_copy_of_the_model_carries_no_hooks(model, tokens):
    plain = model(tokens).logits
    hooked = instrument(model)
    hooked.add_hook(lambda name: name.endswith(("embed.hook_out", "layers.0.hook_in")), double)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(tokens).logits, plain)
    assert not torch.equal(model(tokens).logits, plain)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_what_stands_in_a_copy_goes_at_its_first_call_or_when_it_is_instrumented(model, tokens, copied):
    hooked = instrument(model)
    hooked.add_hook(lambda name: name.endswith(("embed.hook_out", "layers.0.hook_in")), double)
    mine = torch_hooks(model)
    other, third = copied(model), copied(model)
    assert set(torch_hooks(other)) == set(mine)  # as many entries as were copied, which do nothing
    other(tokens)
    assert torch_hooks(other) == {}
    assert all(not module._forward_pre_hooks_with_kwargs for module in other.modules())
    instrument(third)
    assert torch_hooks(third) == {}
    assert torch_hooks(model) == mine


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_that_is_made_while_a_capture_is_open_is_not_captured(model, tokens, copied):
    with instrument(model).capture("embed.hook_out") as cache:
        other = copied(model)
        other(tokens)
        assert (len(cache.steps), len(cache)) == (0, 0)
        model(tokens)
    assert len(cache.steps) == 1
    assert torch_hooks(other) == {}


def test_a_copy_runs_compiled_with_what_stands_in_it(model, tokens):
    instrument(model).add_hook("embed.hook_out", double)
    other = copy.deepcopy(model)
    expected = other(tokens).logits
    other = copy.deepcopy(model)
    assert torch.allclose(torch.compile(other, backend="eager", fullgraph=True)(tokens).logits, expected)


def test_a_copy_of_the_instrument_carries_its_hooks_through_admission(model, tokens, manager):
    routes = []

    class Recorder:
        @hookimpl
        def hookframe_check_hooks_to_add(self, requests):
            routes.append([(request.route, request.point) for request in requests])

    hooked = instrument(model, family=SMALL)
    hooked.add_hook("blocks.0.attn.hook_q", double)
    with hooked.hooks(fwd_hooks=[("hook_embed", double)]):
        manager.register(Recorder())
        copies = [copy.deepcopy(hooked), pickle.loads(pickle.dumps(hooked))]
    expected = hooked(tokens).logits
    assert routes == [[("copy", "blocks.0.attn.hook_q")]] * 2
    for other in copies:
        assert other.wrapped is not model
        assert torch.equal(other(tokens).logits, expected)
        assert {where for where, _ in torch_hooks(other.wrapped)} == {"", "layers.0.attn.fused"}
        other.release()
        assert torch_hooks(other.wrapped) == {}


def test_torch_hooks_of_hookframes_own_are_not_reported_as_unmanaged(model, tokens, manager):
    seen = []

    class Watches:
        @hookimpl
        def hookframe_check_run(self, request):
            seen.append(request.unmanaged)

    manager.register(Watches())
    hooked = instrument(model)
    hooked.add_hook("embed.hook_out", keep)
    hooked.run_with_cache(tokens)
    model.head.register_forward_hook(lambda m, a, o: None)
    hooked.run_with_cache(tokens)
    assert seen == [(), ("head",)]
