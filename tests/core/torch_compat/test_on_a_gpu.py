"""What holds on a CUDA device alone: the memory that a cache takes there, and CUDA graphs."""

from __future__ import annotations

import gc

import pytest
import torch

from hookframe import HookedRootModule, HookPoint

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

POINTS = 200
BLOCK = 512  # bytes: torch hands out memory of a CUDA device in these


class Chain(HookedRootModule):
    """A point behind each of many operations."""

    def __init__(self, points: int = POINTS) -> None:
        super().__init__()
        self.points = torch.nn.ModuleList([HookPoint() for _ in range(points)])
        self.setup()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for point in self.points:
            x = point(x + 1)
        return x.sum()


def allocated() -> int:
    torch.cuda.synchronize()
    gc.collect()
    return torch.cuda.memory_allocated()


@pytest.mark.parametrize("incl_bwd", [False, True], ids=["activations", "gradients too"])
def test_a_cache_takes_at_most_64_bytes_a_point_beside_its_tensors_and_gives_all_of_it_back(incl_bwd):
    model = Chain()
    x = torch.ones(4 * BLOCK, device="cuda", requires_grad=incl_bwd)  # fp32: whole blocks, nothing rounded up

    def run():
        return model.run_with_cache(x, incl_bwd=incl_bwd)

    run()
    x.grad = None
    before = allocated()
    torch.cuda.reset_peak_memory_stats()
    output, cache = run()
    peak = torch.cuda.max_memory_allocated() - before
    after = allocated() - before
    kept = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in (output, *cache.values())}
    if x.grad is not None:
        kept[x.grad.untyped_storage().data_ptr()] = x.grad.untyped_storage().nbytes()
    held, work = sum(kept.values()), 3 * x.untyped_storage().nbytes()  # an operation's own, while it runs
    assert len(cache) == POINTS * (1 + incl_bwd)
    assert after - held <= 64 * POINTS
    assert peak - held - work <= 64 * POINTS
    del output, cache, kept
    x.grad = None
    assert allocated() == before


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, as it loads its compiler for a GPU
@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty:UserWarning")  # torch's own, which it records to begin with
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_the_values_are_those_of_each_run(mode):
    torch._dynamo.reset()
    model = Chain(8)
    compiled = torch.compile(model, fullgraph=True, mode=None if mode == "default" else mode)
    x = torch.ones(64, device="cuda")
    with torch.no_grad():
        for _ in range(3):  # captured, and replayed, before there is a hook
            torch.compiler.cudagraph_mark_step_begin()
            compiled(x)
        cache, hooks, _ = model.get_caching_hooks(clone="always" if mode == "reduce-overhead" else "never")
        with model.hooks(fwd_hooks=hooks):
            for scale in (1.0, 2.0, 3.0, 4.0, 5.0):  # the later ones are replays
                torch.compiler.cudagraph_mark_step_begin()
                compiled(x * scale)
                found = [float(cache[f"points.{index}"][0]) for index in range(8)]
                assert found == [scale + index + 1 for index in range(8)]
        cache.clear()
        torch.compiler.cudagraph_mark_step_begin()
        compiled(x)
        assert not cache
