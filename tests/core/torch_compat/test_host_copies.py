"""Copies from a GPU to the CPU: right whatever the model does meanwhile, bounded, and given back."""

from __future__ import annotations

import gc

import pytest
import torch

from hookframe import HookedRootModule, HookPoint
from hookframe.core.torch_compat.host_copies import HostCopier, PinnedMemory

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
KIB = 1 << 10


def test_pinned_memory_is_bounded_and_comes_back_with_its_owner():
    memory, owner = PinnedMemory(100), torch.ones(1)
    assert memory.take(60)
    memory.give_back_with(owner, 60)
    assert not memory.take(60)
    assert memory.used == 60
    del owner
    assert memory.used == 0
    assert memory.take(100)


def test_a_copier_that_copied_nothing_finishes():
    copier = HostCopier()
    copier.finish()
    copier.finish()


class Spoiling(HookedRootModule):
    """Overwrites each activation right after its point, and keeps the GPU busy before."""

    def __init__(self, width: int = 1024, layers: int = 6) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList([torch.randn(width, width) / width**0.5 for _ in range(layers)])
        self.points = torch.nn.ModuleList([HookPoint() for _ in range(layers)])
        self.fail = False
        self.setup()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for weight, point in zip(self.weights, self.points, strict=True):
            for _ in range(8):
                x = torch.tanh(x @ weight)
            point(x)
            kept = x.clone()
            x.fill_(float("nan"))
            del x
            x = kept
        if self.fail:
            raise LookupError("half-way")
        return x


@pytest.fixture
def spoiling():
    torch.manual_seed(0)
    return Spoiling().cuda()


@needs_gpu
@pytest.mark.parametrize("grad", [False, True])
def test_values_are_those_at_fire_time_under_load(spoiling, grad):
    for _ in range(5):
        x = torch.randn(2048, 1024, device="cuda")
        with torch.set_grad_enabled(grad):
            if grad:
                spoiling.requires_grad_(False)
            _, there = spoiling.run_with_cache(x, clone="always")
            _, here = spoiling.run_with_cache(x, device="cpu")
        assert list(here) == list(there)
        for name, value in here.items():
            assert value.device.type == "cpu"
            assert torch.equal(value, there[name].cpu()), name


@needs_gpu
def test_gradients_come_along():
    class Linear(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(64, 64)
            self.hook_a = HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_a(self.inner(x)).square().sum()

    model, x = Linear().cuda(), torch.randn(8, 64, device="cuda")
    _, there = model.run_with_cache(x, incl_bwd=True)
    _, here = model.run_with_cache(x, incl_bwd=True, device="cpu")
    assert torch.equal(here["hook_a_grad"], there["hook_a_grad"].cpu())


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int64])
@pytest.mark.parametrize("layout", ["whole", "transposed", "slice", "scalar", "empty"])
def test_any_tensor_arrives_as_it_is(dtype, layout):
    value = torch.randint(0, 2, (16, 8, 4), device="cuda").to(dtype)
    value = {
        "whole": value, "transposed": value.transpose(0, 2), "slice": value[::2, 1:], "scalar": value[0, 0, 0], "empty": value[:0],
    }[layout]  # fmt: skip
    copier = HostCopier()
    copied = copier.copy(value)
    copier.finish()
    assert torch.equal(copied, value.cpu())
    assert copied.dtype == dtype
    assert copied.untyped_storage().nbytes() == value.numel() * value.element_size()
    copied.add_(1) if dtype != torch.bool else copied.logical_not_()  # an ordinary tensor


@needs_gpu
def test_beyond_the_bound_values_go_to_ordinary_memory():
    memory = PinnedMemory(64 * KIB)
    copier = HostCopier(memory=memory)
    values = [torch.full((8 * KIB,), float(i), device="cuda") for i in range(5)]  # 32 KiB each
    copied = [copier.copy(value) for value in values]
    copier.finish()
    assert [tensor.is_pinned() for tensor in copied] == [True, True, False, False, False]
    assert all(torch.equal(tensor, value.cpu()) for tensor, value in zip(copied, values, strict=True))
    assert memory.used == 64 * KIB
    del copied
    gc.collect()
    assert memory.used == 0


@needs_gpu
def test_clones_that_wait_on_the_gpu_are_bounded():
    copier = HostCopier(ahead=1 << 20)
    value = torch.ones(1 << 18, device="cuda")  # 1 MiB
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    copied = [copier.copy(value * i) for i in range(16)]
    copier.finish()
    assert torch.cuda.max_memory_allocated() - before <= 5 << 20
    assert [int(tensor[0]) for tensor in copied] == list(range(16))
    assert torch.cuda.memory_allocated() == before


@needs_gpu
def test_after_an_exception_everything_is_given_back(spoiling):
    from hookframe.core.torch_compat.host_copies import pinned

    x = torch.randn(2048, 1024, device="cuda")
    with torch.no_grad():
        spoiling.run_with_cache(x, device="cpu")
        gc.collect()
        torch.cuda.synchronize()
        before, held = torch.cuda.memory_allocated(), pinned.used
        spoiling.fail = True
        with pytest.raises(LookupError, match="half-way"):
            spoiling.run_with_cache(x, device="cpu")
    gc.collect()
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() == before
    assert pinned.used == held == 0
    assert not any(point.has_hooks() for point in spoiling.hook_points())
