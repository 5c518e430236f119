"""What a hook point costs: ratios measured in one process, interleaved, median of many rounds.

Usage: ``python benchmarks/hook_path.py [--smoke] [--json FILE]``. Every row compares hookframe with plain torch that does
the same work by hand, on the same weights. Absolute times vary with the machine; the ratios are what is compared.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

import hookframe
from hookframe import FunctionInfo, HookedRootModule, HookPoint, HookRequest, PluginManager, hookimpl

POINTS = 17  # hook points in a block, as TransformerLens has them


class Block(nn.Module):
    """A small residual block with (or without) hook points between its steps."""

    def __init__(self, width: int, point: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)
        self.points = nn.ModuleList([point() for _ in range(POINTS)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        at = iter(self.points)
        for _ in range(5):
            x = next(at)(x)
        y = next(at)(self.norm(x))
        for _ in range(4):
            y = next(at)(y)
        y = next(at)(self.inner(y))
        for _ in range(3):
            y = next(at)(y)
        y = next(at)(self.outer(torch.relu(y)))
        y = next(at)(y)
        return next(at)(x + y)


class Bare(nn.Module):
    """The same blocks without hook points."""

    def __init__(self, blocks: list[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block.outer(torch.relu(block.inner(block.norm(x))))
        return x


class Hooked(HookedRootModule):
    """The blocks with hook points."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(width, HookPoint) for _ in range(layers)])
        self.setup()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Inline(nn.Module):
    """A hook point written by hand: ``cache[name] = x.detach()``."""

    cache: ClassVar[dict[int, torch.Tensor]] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        Inline.cache[id(self)] = x.detach()
        return x


class Manager(HookedRootModule):
    """Nothing but points: the manager alone, no arithmetic."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.points = nn.ModuleList([HookPoint() for _ in range(count)])
        self.setup()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for point in self.points:
            x = point(x)
        return x


class Child(nn.Module):
    """Calls one child the way a model does, ``self.hook(x)``."""

    def __init__(self, hook: nn.Module) -> None:
        super().__init__()
        self.hook = hook

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.hook(x)


def interleaved(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each case; in each round all of them run once, in a shuffled order."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for name in names:
        cases[name]()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            random.shuffle(names)
            for name in names:
                start = time.perf_counter()
                cases[name]()
                times[name].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return {name: statistics.median(values) for name, values in times.items()}


def many(call: Callable[[], object], count: int) -> Callable[[], None]:
    """``call``, ``count`` times."""

    def run() -> None:
        for _ in range(count):
            call()

    return run


def measure(*, layers: int, width: int, rounds: int) -> list[dict[str, object]]:
    """All rows: what, hookframe's time and the time it is compared with, in microseconds, and the ratio."""
    torch.manual_seed(0)
    model = Hooked(layers, width)
    bare = Bare(list(model.blocks))
    count = layers * POINTS
    manager = Manager(count)
    inline = Inline()
    x = torch.randn(1, 8, width)
    rows: list[dict[str, object]] = []

    def row(what: str, ours: Callable[[], object], theirs: Callable[[], object], against: str, per: int = 1) -> None:
        found = interleaved({"ours": ours, "theirs": theirs}, rounds)
        rows.append(
            {
                "what": what,
                "hookframe_us": found["ours"] * 1e6 / per,
                "against": against,
                "against_us": found["theirs"] * 1e6 / per,
                "ratio": found["ours"] / found["theirs"],
            }
        )

    def inline_all() -> None:
        for _ in range(count):
            inline(x)

    with hookframe.use_plugins(), torch.no_grad():
        hooked_child, identity_child = Child(HookPoint()), Child(nn.Identity())
        calls = 200
        row(
            "idle self.hook(x)",
            many(lambda: hooked_child.hook(x), calls),
            many(lambda: identity_child.hook(x), calls),
            "nn.Identity",
            calls,
        )
        row("tiny model, idle points", lambda: model(x), lambda: bare(x), "bare model")
        row("manager alone, cache all, per point", lambda: manager.run_with_cache(x), inline_all, "inline line", count)
        row("tiny model, cache all", lambda: model.run_with_cache(x), lambda: bare(x), "bare model")
        one = f"blocks.{layers // 2}.points.3"
        row("tiny model, cache one", lambda: model.run_with_cache(x, names_filter=one), lambda: bare(x), "bare model")
        hooks = [(one, lambda tensor, hook: None)]
        row(
            "tiny model, one read hook", lambda: model.run_with_hooks(x, fwd_hooks=hooks), lambda: bare(x), "bare model"
        )
    with hookframe.use_plugins():
        row(
            "tiny model, all activations and gradients",
            lambda: _backward(model, x, incl=True),
            lambda: _backward(bare, x, incl=False),
            "bare forward and backward",
        )
    return rows


class Abstains:
    """A validator without objections; what is left is the cost of asking it."""

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests: Sequence[HookRequest]) -> None:
        """Object to nothing."""


def isolation(size: int, rounds: int) -> dict[str, object]:
    """One question to a validator in a process of its own, against the same validator in this one."""
    function = FunctionInfo(module="benchmark", qualname="function")
    batch = tuple(HookRequest(index=i, point=f"p.{i}", function=function, route="hooks") for i in range(size))
    inside, outside = PluginManager(Abstains()), PluginManager()
    sys.path.append(str(Path(__file__).parent))
    outside.register_isolated("hook_path:Abstains", name="abstains", limit=60.0)
    try:
        found = interleaved(
            {"ours": lambda: outside.review_hooks(batch, None), "theirs": lambda: inside.review_hooks(batch, None)},
            rounds,
        )
    finally:
        outside.close()
    return {
        "what": f"isolated validator, {size} requests",
        "hookframe_us": found["ours"] * 1e6,
        "against": "the same in this process",
        "against_us": found["theirs"] * 1e6,
        "ratio": found["ours"] / found["theirs"],
    }


def _backward(model: nn.Module, x: torch.Tensor, *, incl: bool) -> None:
    if isinstance(model, Hooked) and incl:
        _, fwd, bwd = model.get_caching_hooks(incl_bwd=True)
        with model.hooks(fwd_hooks=fwd, bwd_hooks=bwd):
            model(x).sum().backward()
    else:
        model(x).sum().backward()
    model.zero_grad()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a hook point costs, as ratios.")
    parser.add_argument("--smoke", action="store_true", help="a size that only shows that it runs")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = {"layers": 2, "width": 16, "rounds": 5} if options.smoke else {"layers": 12, "width": 64, "rounds": 150}
    rows = [*measure(**size), *(isolation(count, size["rounds"]) for count in (1, 200))]
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread, {size}")
    print(f"{'what':45} {'hookframe':>12} {'compared':>12} {'ratio':>7}  against")
    for row in rows:
        print(
            f"{row['what']:45} {row['hookframe_us']:9.2f} us {row['against_us']:9.2f} us {row['ratio']:7.2f}  {row['against']}"
        )
    if options.json:
        options.json.write_text(json.dumps({"size": size, "torch": torch.__version__, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
