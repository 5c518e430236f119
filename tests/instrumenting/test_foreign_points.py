"""Hook points of another library, that are built as TransformerLens's, on an instrumented model."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import hookframe
from hookframe import UnknownHookPoint, instrument


def library():
    """A class as another library has it: it is recognised by its name and its attributes."""

    class HookPoint(nn.Module):
        def __init__(self):
            super().__init__()
            self.fwd_hooks, self.bwd_hooks, self.hook_conversion = [], [], None
            self.name, self.backward_scale, self.pos_dim = None, 1.0, None

        def add_hook(self, hook):
            self.register_forward_hook(lambda module, args, output: hook(output, hook=self))

        def forward(self, x):
            return x

    return HookPoint


Theirs = library()


class Layer(nn.Module):
    """Has hook points of its own at its input and its output."""

    def __init__(self):
        super().__init__()
        self.hook_in, self.inner, self.hook_out = Theirs(), nn.Linear(4, 4), Theirs()

    def forward(self, x):
        return self.hook_out(self.inner(self.hook_in(x)))


class Bridge(nn.Module):
    """Computes the names of its points, as TransformerBridge does."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Layer() for _ in range(2))
        for name, point in self.hook_dict.items():
            point.name = point.name or name

    @property
    def hook_dict(self):
        found = {name: module for name, module in self.named_modules() if isinstance(module, Theirs)}
        return found | {f"blocks.{i}.hook_resid_pre": layer.hook_in for i, layer in enumerate(self.blocks)}

    def forward(self, x):
        for layer in self.blocks:
            x = layer(x)
        return x


@pytest.fixture
def bridge():
    torch.manual_seed(0)
    return Bridge()


x = torch.ones(2, 3, 4)


def test_points_of_another_library_have_their_own_names_and_no_others(bridge):
    hooked = instrument(bridge)
    assert hooked.names_of("blocks.0.hook_in") == ("blocks.0.hook_in", "blocks.0.hook_resid_pre")
    assert hooked.names_of("blocks.1.hook_out") == ("blocks.1.hook_out",)
    assert not [name for name in hooked.hook_dict if ".hook_in." in name or ".hook_out." in name]
    assert "blocks.0.inner.hook_out" in hooked.hook_dict


def test_their_hooks_go_on_firing_and_see_what_hooks_here_made(bridge):
    seen = []
    bridge.hook_dict["blocks.0.hook_resid_pre"].add_hook(
        lambda tensor, hook: seen.append((hook.name, tensor.mean().item()))
    )
    hooked = instrument(bridge)
    with hooked.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", lambda tensor, hook: tensor * 3)]):
        bridge(x)
    bridge(x)
    assert seen == [("blocks.0.hook_in", 3.0), ("blocks.0.hook_in", 1.0)]


def test_a_place_has_the_aliases_as_names_and_is_certain(bridge):
    hooked = instrument(bridge)
    place = hooked.hook_dict["blocks.1.hook_in"].place
    assert place.names == ("blocks.1.hook_in", "blocks.1.hook_resid_pre")
    assert place.certain
    assert place.layer == 1


def test_around_the_model_its_own_names_stay_names_of_the_place(bridge):
    hooked = instrument(nn.Sequential(bridge))
    place = hooked.hook_dict["0.blocks.1.hook_resid_pre"].place
    assert {"blocks.1.hook_resid_pre", "0.blocks.1.hook_resid_pre"} <= set(place.names)
    assert place.certain


def test_a_part_whose_model_is_not_known_is_not_certain(bridge):
    hooked = instrument(copy.deepcopy(bridge).blocks[1])
    place = hooked.hook_dict["hook_in"].place
    assert (place.names, place.others, place.certain) == (("hook_in",), ("blocks.1.hook_in",), False)


def test_an_entry_that_a_user_writes_into_a_dict_of_points_is_no_name():
    model = Layer()
    model.hook_dict = {"hook_in": model.hook_in, "probe": model.hook_in}
    hooked = instrument(model)
    assert hooked.names_of("hook_in") == ("hook_in",)
    with pytest.raises(UnknownHookPoint, match="'probe'"):
        hooked.names_of("probe")


def test_functions_here_see_the_conversion_that_their_point_has_now(bridge):
    class Halves:
        def convert(self, tensor):
            return tensor.unflatten(-1, (2, 2))

        def revert(self, tensor):
            return tensor.flatten(-2)

    hooked, shapes = instrument(bridge), []

    def double(tensor, hook):
        shapes.append(tuple(tensor.shape))
        return tensor * 2

    plain = hooked.run_with_hooks(x, fwd_hooks=[("blocks.0.hook_out", double)])
    bridge.blocks[0].hook_out.hook_conversion = Halves()
    converted = hooked.run_with_hooks(x, fwd_hooks=[("blocks.0.hook_out", double)])
    assert shapes == [(2, 3, 4), (2, 3, 2, 2)]
    assert torch.equal(plain, converted)
    assert hooked.run_with_cache(x, names_filter="blocks.0.hook_out", pos_slice=0)[1]["blocks.0.hook_out"].shape == (
        2,
        1,
        2,
        2,
    )


def test_gradients_arrive(bridge):
    hooked, seen = instrument(bridge), {}
    hooked.run_with_hooks(
        x, bwd_hooks=[("blocks.1.hook_resid_pre", lambda gradient, hook: seen.update({hook.name: gradient}))]
    ).sum().backward()
    expected = torch.ones(2, 3, 4) @ bridge.blocks[1].inner.weight
    assert torch.allclose(seen["blocks.1.hook_resid_pre"], expected)


def test_hookframes_own_points_are_not_another_librarys():
    class Own(hookframe.HookPoint):
        pass

    model = nn.Sequential(nn.Linear(4, 4), Own())
    assert set(instrument(model).hook_dict) == {"hook_in", "0.hook_in", "0.hook_out", "hook_out"}
