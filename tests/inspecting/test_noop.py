"""check_noop: observers change nothing, or the point that makes the difference is named with its reason."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import hookframe
from hookframe import HookedRootModule, HookPoint, NoopCheckFailed
from hookframe.inspecting.bits import copied, same_bits, tensors_in


def test_a_model_that_is_only_looked_at_computes_the_same(tiny):
    report = hookframe.check_noop(tiny, tiny.tokens, gradients=True)
    assert report.silent == (
        "blocks.0.attn.hook_result",
        "blocks.0.hook_mlp_in",
        "blocks.1.attn.hook_result",
        "blocks.1.hook_mlp_in",
    )
    assert len(report.points) + len(report.silent) == len(tiny.hook_dict)
    assert report.tensors > 1
    assert tiny.list_hooks() == {}


def test_points_can_be_chosen(tiny):
    assert hookframe.check_noop(tiny, [tiny.tokens], names_filter="hook_embed").points == ("hook_embed",)
    with pytest.raises(hookframe.UnknownHookPoint, match="hook_embed"):
        hookframe.check_noop(tiny, tiny.tokens, names_filter="hook_embd")


@pytest.mark.parametrize("training", [True, False])
def test_any_module_can_be_checked_and_is_left_as_it_was(plain, x, training):
    plain.train(training)
    before, random = copy.deepcopy(plain.state_dict()), torch.get_rng_state()
    with hookframe.no_leaks(plain):
        report = hookframe.check_noop(plain, {"x": x, "scale": 2.0}, gradients=True)
    assert {"hook_in", "norm.hook_out", "hook_out"} <= set(report.points)
    assert all(torch.equal(value, before[key]) for key, value in plain.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in plain.parameters())


class Sly(HookedRootModule):
    """Computes something else while somebody looks."""

    def __init__(self):
        super().__init__()
        self.points = nn.ModuleList([HookPoint() for _ in range(7)])
        self.setup()

    def forward(self, x):
        for point in self.points:
            x = point(x)
        return x + 1 if self.points[4].fwd_hooks else x


def test_the_point_that_makes_the_difference_is_named(x):
    with pytest.raises(NoopCheckFailed, match="Sly computes something else with an observer at 'points.4'") as caught:
        hookframe.check_noop(Sly(), x)
    assert caught.value.point == "points.4"
    assert "fwd_hooks" in caught.value.reason


class Asking(nn.Module):
    """Computes something else while one of its modules has a torch hook."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Identity())

    def forward(self, x):
        return self.inner(x) + len(self.inner[0]._forward_hooks)


def test_a_module_that_asks_for_torchs_hooks_is_named(x):
    with pytest.raises(NoopCheckFailed, match="Asking computes something else .* at 'inner.0.hook_out'") as caught:
        hookframe.check_noop(Asking(), x)
    assert "torch's tables" in caught.value.reason


class Both(Sly):
    def forward(self, x):
        return x + 1 if self.points[0].fwd_hooks and self.points[6].fwd_hooks else x


def test_a_difference_that_takes_two_points_says_so(x):
    with pytest.raises(NoopCheckFailed, match="at several points together") as caught:
        hookframe.check_noop(Both(), x)
    assert caught.value.point is None


class Spoiling:
    def convert(self, tensor):
        return tensor.mul_(2)

    def revert(self, tensor):
        return tensor


def test_a_conversion_that_changes_the_tensor_is_named(tiny):
    tiny.blocks[1].hook_mlp_out.enable_reshape(Spoiling())
    with pytest.raises(NoopCheckFailed, match="at 'blocks.1.hook_mlp_out': its conversion, a Spoiling, runs"):
        hookframe.check_noop(tiny, tiny.tokens)


def test_torchs_fused_path_is_named_where_it_makes_a_difference():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, batch_first=True).eval()
    padded = torch.tensor([[False, False, False], [False, True, True]])  # computed in another way by the fused path
    inputs = {"src": torch.randn(2, 3, 8), "src_key_padding_mask": padded}
    with torch.no_grad():
        with pytest.raises(NoopCheckFailed, match="which takes its fused path only while") as caught:
            hookframe.check_noop(layer, inputs)
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            hookframe.check_noop(layer, inputs)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    assert caught.value.point is not None


class Restless(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x + self.calls


def test_a_model_that_never_computes_the_same_cannot_be_checked(x):
    with pytest.raises(NoopCheckFailed, match="two runs .* without observers differ already"):
        hookframe.check_noop(Restless(), x)


def test_gradients_need_an_output_that_has_some(x):
    with pytest.raises(NoopCheckFailed, match="gradients=False"):
        hookframe.check_noop(nn.ReLU(), x, gradients=True)


def test_inputs_have_to_be_inputs(tiny):
    with pytest.raises(TypeError, match="inputs is a str: give one tensor"):
        hookframe.check_noop(tiny, "text")


def test_a_run_cannot_change_the_inputs(x):
    class InPlace(nn.Module):
        def forward(self, x):
            return x[0].add_(1)

    before = x.clone()
    hookframe.check_noop(InPlace(), ([x],))
    assert torch.equal(x, before)


@dataclass
class Out:
    first: torch.Tensor
    rest: dict


class Box:
    def __init__(self, tensor):
        self.tensor = tensor


def test_tensors_are_found_wherever_they_are():
    a, b, c, d = (torch.full((1,), float(n)) for n in range(4))
    assert [int(t) for t in tensors_in((Out(a, {"b": [b, None, "text", len]}), Box((c,)), {"d": d}))] == [0, 1, 2, 3]
    deep = a
    for _ in range(20):
        deep = [deep]
    assert tensors_in(deep) == []


@given(st.lists(st.floats(width=32), min_size=1), st.lists(st.floats(width=32), min_size=1))
def test_bits_decide_not_values(some, others):
    one, other = torch.tensor(some), torch.tensor(others)
    as_bytes = lambda values: torch.tensor(values).numpy().tobytes()
    assert same_bits([one], [other]) is (as_bytes(some) == as_bytes(others))
    assert same_bits([one], copied([one]))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_what_has_no_plain_bits_is_compared_as_well():
    quantised = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    assert same_bits([torch.ones(2, device="meta")], [torch.zeros(2, device="meta")])
    assert same_bits([quantised], [quantised.clone()])
    one = torch.complex(torch.ones(2), -torch.ones(2))
    assert same_bits([one.conj()], [torch.complex(torch.ones(2), torch.ones(2))])
    assert not same_bits([torch.ones(2)], [torch.ones(2).double()])


@pytest.mark.found("a check of a model whose output holds no tensor compared nothing, and passed")
@pytest.mark.parametrize("output", [None, "text", 3, iter(())], ids=["nothing", "text", "number", "generator"])
def test_an_output_without_a_tensor_is_no_success(x, output):
    class Says(nn.Sequential):
        def forward(self, x):
            super().forward(x)
            return output

    with pytest.raises(
        NoopCheckFailed, match="the output of this Says holds no tensor, so there is nothing to compare"
    ):
        hookframe.check_noop(Says(nn.Identity()), x)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_tensors_of_every_layout_are_compared():
    x, y = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    for make in (torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr, lambda t: torch.nested.nested_tensor([*t])):
        assert same_bits([make(x)], [make(x)])
        assert not same_bits([make(x)], [make(y)])
        assert not same_bits([make(x)], [x])
        assert not same_bits([x], [make(x)])
