"""The rows that need a CUDA device: a decoding step, a whole batch, and compiled models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import mean
from types import FunctionType
from typing import Any

import torch
from torch import nn

from benchmarks.by_hand import LatePointByHand
from benchmarks.llama import Shape, bare_llama, llama_of, llama_weights
from benchmarks.peers import transformer_lens
from benchmarks.row import Row
from benchmarks.stack import Bare, Block, PlainStack, stack_of, weights_of
from benchmarks.timing import interleaved
from hookframe import HookedRootModule, HookPoint

__all__ = ["compiled_rows", "eager_rows"]

Cases = dict[str, Callable[[], object]]
IDENTITY = "nn.Identity in their place"
"""What dynamo looks at in each module that it compiled, whatever that does; hooks that come later are ignored."""
BY_HAND = "points by hand"
"""The same, and what it has to look at for hooks that come later: the floor of an idle point."""


@torch.no_grad()
def eager_rows(rounds: int, shape: Shape | None = None, *, batch: int = 8, pos: int = 512) -> Iterator[Row]:
    """One token, and a batch, through a bf16 stack in the shape of Llama-3.2-1B."""
    shape = shape or Shape()
    torch.manual_seed(0)
    with torch.device("cuda"):
        ends, weights = llama_weights(shape)
    for part in (ends, *weights):
        part.to(torch.bfloat16)
    hooked, bare = llama_of(HookedRootModule, HookPoint, ends, weights), bare_llama(ends, weights)
    lens = transformer_lens()
    peer = None if lens is None else llama_of(lens.HookedRootModule, lens.HookPoint, ends, weights)
    yield from decode(hooked, bare, peer, shape, rounds)
    yield from whole_batch(hooked, bare, peer, shape, max(rounds // 3, 5), batch, pos)


def beside_peer(what: str, run: Callable[[Any], object], hooked: Any, peer: Any | None, rounds: int) -> Iterator[Row]:
    """The same work done by a peer, if there is one, in a row of its own, as it fills the processor's caches."""
    if peer is not None:
        cases: Cases = {"hookframe": lambda: run(hooked), "TransformerLens": lambda: run(peer)}
        yield Row(number="GPU", what=what, seconds=interleaved(cases, rounds))


def decode(hooked: Any, bare: Any, peer: Any | None, shape: Shape, rounds: int) -> Iterator[Row]:
    """One token, batch 1, looking back at others."""
    token = torch.randint(0, shape.vocabulary, (1, 1), device="cuda")
    kept = (1, shape.kv_heads, shape.pos, shape.size)
    past = [tuple(torch.randn(kept, device="cuda", dtype=torch.bfloat16) for _ in "kv") for _ in range(shape.layers)]
    hooks = [(f"blocks.{shape.layers // 2}.hook_resid_post", _read)]
    every = len(hooked.hook_dict)
    work: dict[str, tuple[float, Callable[[Any], object]]] = {
        "17 idle points a block": (1.03, lambda m: m(token, past)),
        "one read hook": (1.06, lambda m: m.run_with_hooks(token, past, fwd_hooks=hooks)),
        f"cache everything ({every} tensors)": (1.35, lambda m: m.run_with_cache(token, past)),
    }
    for how, (limit, run) in work.items():
        what = f"decode step, Llama-1B shape, bf16: {how}"
        cases: Cases = {"hookframe": lambda run=run: run(hooked), "bare": lambda: bare(token, past)}
        yield Row(number="GPU", what=what, seconds=interleaved(cases, rounds), limits={"bare": limit})
        yield from beside_peer(what, run, hooked, peer, rounds)


def whole_batch(
    hooked: Any, bare: Any, peer: Any | None, shape: Shape, rounds: int, batch: int, pos: int
) -> Iterator[Row]:
    """A batch of texts: what is cached stays on the GPU, or goes to the CPU."""
    tokens = torch.randint(0, shape.vocabulary, (batch, pos), device="cuda")
    size = f"batch {batch} x {pos}"
    what = f"{size}, cache everything on the GPU"
    found = interleaved({"hookframe": lambda: hooked.run_with_cache(tokens), "bare": lambda: bare(tokens)}, rounds)
    yield Row(number="GPU", what=what, seconds=found, limits={"bare": 1.03})
    yield from beside_peer(what, lambda m: m.run_with_cache(tokens), hooked, peer, rounds)
    peaks = {
        name: peak(run)
        for name, run in {"hookframe": lambda: hooked.run_with_cache(tokens), "bare": lambda: bare(tokens)}.items()
    }
    _, cache = hooked.run_with_cache(tokens)
    held = float(sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in cache.values()}.values()))
    del cache
    yield Row(
        number="10", what=f"{size}, peak memory on the GPU, cache everything", unit="bytes",
        seconds={"hookframe": peaks["hookframe"], "bare + held": peaks["bare"] + held}, limits={"bare + held": 1.10},
    )  # fmt: skip
    names = [f"blocks.{i}.{name}" for i in range(shape.layers) for name in ("hook_resid_post", "hook_post")]
    _, cache = hooked.run_with_cache(tokens, names_filter=names)
    values = [*cache.values()]
    targets = [torch.empty_like(value, device="cpu", pin_memory=True) for value in values]
    total = sum(value.numel() * value.element_size() for value in values) / 1e9

    def copies() -> None:
        for target, value in zip(targets, values, strict=True):
            target.copy_(value, non_blocking=True)

    def to_cpu(model: Any) -> object:
        return model.run_with_cache(tokens, names_filter=names, device="cpu")

    cases: Cases = {
        "hookframe": lambda: to_cpu(hooked), "bare": lambda: bare(tokens), "the copies alone": copies,
    }  # fmt: skip
    what = f"{size}, resid_post and mlp_post to the CPU ({total:.2f} GB)"
    rounds = max(rounds // 2, 5)
    yield Row(number="GPU", what=what, seconds=interleaved(cases, rounds, warm=4), limits={"bare": 1.35})
    yield from beside_peer(what, to_cpu, hooked, peer, max(rounds // 3, 5))


def peak(run: Callable[[], object]) -> float:
    """Most bytes that were allocated on the GPU at once while ``run`` ran, beyond what was there before."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    kept = run()
    torch.cuda.synchronize()
    found = float(torch.cuda.max_memory_allocated() - before)
    del kept
    return found


@torch.no_grad()
def compiled_rows(
    rounds: int, *, layers: int = 8, width: int = 1024, heads: int = 16, pos: int = 128, device: str = "cuda"
) -> Iterator[Row]:
    """Row 8, and its like on a GPU: what is compiled is the same with points as without."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    torch.manual_seed(0)
    weights = [w.to(device, dtype) for w in weights_of(layers, width, heads)]
    x = torch.randn(1, pos, width, device=device, dtype=dtype)
    number, where = (
        ("GPU", f"{layers} layers d={width} bf16") if device == "cuda" else ("8", f"{layers} layers d={width}")
    )
    idle = 1.01 if device == "cuda" else 1.05
    for mode in ("default", "reduce-overhead") if device == "cuda" else ("default",):
        torch._dynamo.reset()
        makers: dict[str, Callable[[], Any]] = {
            "hookframe": lambda: stack_of(HookedRootModule, HookPoint, weights),
            "bare": lambda: Bare(weights),
            IDENTITY: lambda: PlainStack([Block(w, nn.Identity) for w in weights]),
            BY_HAND: lambda: PlainStack([Block(w, LatePointByHand) for w in weights]),
        }
        graphs = {name: graph_of(make(), x) for name, make in makers.items()}
        seconds, models, fast = in_turn(makers, None if mode == "default" else mode, x, rounds)
        hooked = models["hookframe"]
        same = "the same operations in one graph" if graphs["hookframe"] == graphs["bare"] else "the graphs differ"
        yield Row(
            number=number, what=f"torch.compile, {mode}, {where}: idle points", seconds=seconds,
            limits={"bare": idle}, floor=BY_HAND, near=idle, note=same,
        )  # fmt: skip
        cases: Cases = {name: lambda m=fast[name]: step(m, x) for name in ("hookframe", "bare")}
        _, hooks, _ = hooked.get_caching_hooks(
            [f"blocks.{index}.hook_resid_post" for index in range(layers)],
            clone="always" if mode != "default" else "never",
        )
        with hooked.hooks(fwd_hooks=hooks):
            yield Row(
                number=number, what=f"torch.compile, {mode}, {where}: {layers} caching hooks",
                seconds=interleaved(cases, rounds, warm=6), limits={"bare": 1.10} if device == "cuda" else {},
                note=fresh(hooked, fast["hookframe"], x),
            )  # fmt: skip


def in_turn(
    makers: dict[str, Callable[[], Any]], mode: str | None, x: torch.Tensor, rounds: int
) -> tuple[dict[str, float], dict[str, Any], dict[str, Any]]:
    """Seconds that each takes when compiled, the mean of several times that all are made; and the models, plain and compiled.

    Each is made first once, and last once: what dynamo has to look at lies more scattered in memory for the first, which makes a
    tenth of a tiny model's time.
    """
    found: dict[str, list[float]] = {name: [] for name in makers}
    models: dict[str, Any] = {}
    fast: dict[str, Any] = {}
    for turn in range(len(makers)):
        torch._dynamo.reset()
        order = [*makers][turn:] + [*makers][:turn]
        models = {name: makers[name]() for name in order}
        for model in models.values():
            give_own_code(model)
        fast = {name: torch.compile(model, fullgraph=True, mode=mode) for name, model in models.items()}
        cases: Cases = {name: lambda m=model: step(m, x) for name, model in fast.items()}
        for run in cases.values():
            run()
        for name, seconds in interleaved(cases, max(rounds // len(makers), 2), warm=6).items():
            found[name].append(seconds)
    return {name: mean(each) for name, each in found.items()}, models, fast


def give_own_code(model: nn.Module) -> None:
    """Let ``forward`` be code of its own: for models that share theirs, dynamo looks through what it made for the others too."""
    kind = type(model)
    shared: Any = kind.forward
    code = shared.__code__.replace(co_name=f"forward_of_{id(model)}")
    forward = FunctionType(code, shared.__globals__, "forward", shared.__defaults__, shared.__closure__)
    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})


def step(model: Any, x: torch.Tensor) -> None:
    """One run; what CUDA graphs returned before may be overwritten."""
    torch.compiler.cudagraph_mark_step_begin()
    model(x)


def graph_of(model: Any, x: torch.Tensor) -> list[str]:
    """What a compiled model does, operation by operation."""
    found: list[str] = []

    def backend(module: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        found.extend(str(node.target) for node in module.graph.nodes if node.op.startswith("call"))
        return module.forward

    torch.compile(model, fullgraph=True, backend=backend)(x)
    return found


def fresh(hooked: Any, fast: Any, x: torch.Tensor) -> str:
    """See that each run leaves its own values in the cache."""
    name = "blocks.0.hook_resid_post"
    for scale in (1.0, 2.0, 3.0):
        cache, hooks, _ = hooked.get_caching_hooks(name)
        with hooked.hooks(fwd_hooks=hooks):
            torch.compiler.cudagraph_mark_step_begin()
            fast(x * scale)
            got = cache[name].float().clone()
        _, eager = hooked.run_with_cache(x * scale, names_filter=name)
        difference = float((got - eager[name].float()).norm() / got.norm())
        if difference > 0.02:
            return f"wrong values: off by {difference:.3g}"
    return "values are those of the run"


def _read(tensor: torch.Tensor, hook: Any) -> None:
    return None
