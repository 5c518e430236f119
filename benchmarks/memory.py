"""Row 10: what caching costs in memory, measured in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.row import Row
from benchmarks.stack import Bare, stack_of, weights_of

__all__ = ["measure", "rows"]

_NO_HOLES = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # no heap with holes: memory in use
LAYERS, WIDTH, HEADS, BATCH, POS = 12, 256, 4, 8, 512


def measure(what: str) -> dict[str, float]:
    """Peak bytes beyond what was there before, and bytes that the cache holds, in this process."""
    from hookframe import HookedRootModule, HookPoint, use_plugins

    torch.manual_seed(0)
    weights = weights_of(LAYERS, WIDTH, HEADS)
    model = Bare(weights) if what == "bare" else stack_of(HookedRootModule, HookPoint, weights)
    x = torch.randn(BATCH, POS, WIDTH)
    held = 0.0
    with use_plugins(), torch.no_grad():
        model(x[:1, :8])
        before = resident()
        if what == "bare":
            model(x)
        else:
            options = {"pos_slice": -1} if what == "slice" else {}
            _, cache = model.run_with_cache(x, **options)
            storages = {
                tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in cache.values()
            }
            held = float(sum(storages.values()))
    return {"peak": peak() - before, "held": held}


def resident() -> float:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * float(os.sysconf("SC_PAGE_SIZE"))


def peak() -> float:
    """Most bytes that it ever had."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def rows() -> Iterator[Row]:
    """Cache everything, and one position of everything."""
    found = {what: _in_process(what) for what in ("bare", "all", "slice")}
    for what, label in (("all", "cache everything"), ("slice", "cache one position of everything")):
        yield Row(
            number="10", what=f"peak memory, batch {BATCH} x {POS}: {label}", unit="bytes",
            seconds={"hookframe": found[what]["peak"], "bare + held": found["bare"]["peak"] + found[what]["held"]},
            limits={"bare + held": 1.10},
        )  # fmt: skip


def _in_process(what: str) -> dict[str, float]:
    code = f"import json; from benchmarks.memory import measure; print(json.dumps(measure({what!r})))"
    done = subprocess.run(  # noqa: S603  # this very file, in a process of its own
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | _NO_HOLES,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
