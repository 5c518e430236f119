"""What one call of a point costs, and what the manager costs without any arithmetic."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.peers import transformer_lens
from benchmarks.row import Row
from benchmarks.timing import interleaved, many, unused_classes
from hookframe import HookedRootModule, HookPoint

__all__ = ["idle_calls", "measure_idle", "rows"]

CALLS = 2000
RUNS = 8


class Caller(nn.Module):
    """Calls one child the way a model does, ``self.hook(x)``."""

    def __init__(self, hook: nn.Module) -> None:
        super().__init__()
        self.hook = hook

    def calls(self, x: Any) -> None:
        """Call it often."""
        for _ in range(CALLS):
            x = self.hook(x)

    def loop(self, x: Any) -> None:
        """The loop alone."""
        for _ in range(CALLS):
            pass


def _hooked(root: Any, point: Any) -> Any:
    class Model(root):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = Caller(point())
            self.setup()

    return Model().inner


def measure_idle(unused: int) -> dict[str, float]:
    """Seconds of one idle call in each system, in this process."""
    kept = unused_classes(unused)
    callers = {"hookframe": _hooked(HookedRootModule, HookPoint), "nn.Identity": Caller(nn.Identity())}
    lens = transformer_lens()
    if lens is not None:
        callers["TransformerLens"] = _hooked(lens.HookedRootModule, lens.HookPoint)
    x = torch.ones(1)
    cases: dict[str, Callable[[], object]] = {name: lambda c=c: c.calls(x) for name, c in callers.items()}
    cases["loop"] = lambda: callers["hookframe"].loop(x)
    found = interleaved(cases, 60)
    del kept
    loop = found.pop("loop")
    return {name: (value - loop) / CALLS for name, value in found.items()}


def idle_calls(processes: int) -> Row:
    """Row 1: an idle ``self.hook(x)``, median over processes."""
    found: list[dict[str, float]] = []
    for unused in range(processes):
        code = f"import json; from benchmarks.micro import measure_idle; print(json.dumps(measure_idle({unused * 7})))"
        done = subprocess.run(  # noqa: S603  # this very file, in a process of its own
            [sys.executable, "-W", "ignore", "-c", code],
            check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        found.append(json.loads(done.stdout.splitlines()[-1]))
    medians = {name: statistics.median(one[name] for one in found) for name in found[0]}
    return Row(
        number="1", what="idle self.hook(x) inside a model", seconds=medians, limits={"TransformerLens": 0.12}, absolute=150e-9
    )  # fmt: skip


def manager_of(root: Any, point: Any, count: int) -> Any:
    """A model of ``count`` points and nothing else."""

    class Manager(root):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.points = nn.ModuleList([point() for _ in range(count)])
            self.setup()
            self.__dict__["each"] = [*self.points]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for hook in self.each:
                x = hook(x)
            return x

    return Manager()


def managers(count: int) -> dict[str, Any]:
    """Such a model of each system."""
    found = {"hookframe": manager_of(HookedRootModule, HookPoint, count)}
    lens = transformer_lens()
    if lens is not None:
        found["TransformerLens"] = manager_of(lens.HookedRootModule, lens.HookPoint, count)
    return found


def rows(rounds: int) -> Iterator[Row]:
    """Rows 2, 5 and 7."""
    count, x = 208, torch.randn(1, 8, 64)
    names = [f"points.{index}" for index in range(count)]
    models = managers(count)

    def inline() -> None:
        cache = {}
        for name in names:
            cache[name] = x.detach()

    cases: dict[str, Callable[[], object]] = {s: lambda m=m: m.run_with_cache(x) for s, m in models.items()}
    yield Row(
        number="2", what="the manager alone, cache all", per=count * RUNS,
        seconds=interleaved(_often(cases | {"inline": inline}), rounds), limits={"inline": 2.0},
    )  # fmt: skip
    cases = {s: lambda m=m: m.run_with_hooks(x, fwd_hooks=[(_every, _read)]) for s, m in models.items()}
    yield Row(
        number="5", what="a read-only hook on every point", per=count * RUNS,
        seconds=interleaved(_often(cases), rounds), limits={"TransformerLens": 0.06},
    )  # fmt: skip
    yield from half_the_names(rounds)


def forget_filters(model: Any) -> None:
    """Let the model find out anew what filters mean."""
    model.kept_tree._kept.clear()
    model.kept_tree._last = ()


def _often(cases: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    """Each case several times in a row: what ran in between would have taken its place in the processor's caches."""
    return {name: many(case, RUNS) for name, case in cases.items()}


def half_the_names(rounds: int) -> Iterator[Row]:
    """Row 7: 500 of 1,000 names, given as a list."""
    models = managers(1000)
    half = [f"points.{index}" for index in range(0, 1000, 2)]

    def anew(model: Any) -> None:
        forget_filters(model)
        model.selection(half)

    lens = models.get("TransformerLens")
    first: dict[str, Callable[[], object]] = {"hookframe": lambda: anew(models["hookframe"])}
    if lens is not None:
        first["TransformerLens"] = lambda: lens.get_caching_hooks(half)
    yield Row(number="7", what="500 of 1,000 names, first", seconds=interleaved(first, rounds), absolute=150e-6)
    again = {"hookframe": lambda: models["hookframe"].selection(half)}
    yield Row(number="7", what="500 of 1,000 names, again", seconds=interleaved(again, rounds), absolute=10e-6)


def _every(name: str) -> bool:
    return True


def _read(tensor: torch.Tensor, hook: Any) -> None:
    return None
