"""Measure, and write the report: ``python -m benchmarks``.

Each group of rows runs in a process of its own, for each number of threads, so that none finds what another left in memory.
``--smoke`` runs the rows, at a size that shows nothing but that they run, without those that take minutes.
``--json FILE`` keeps what was measured, and ``--from FILE …`` makes the report from what was kept, on whatever machines;
of several runs on one, from those in the middle.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch

import hookframe
from benchmarks import gpu, instrumented, isolation, memory, micro, outfit, tiny
from benchmarks.report import here, read, write, write_json
from benchmarks.row import Row, show

GROUPS = (
    "micro", "tiny", "gpt2", "admission", "platform", "instrument", "real", "isolation", "memory", "compile", "gpu",
)  # fmt: skip
WITH_THREADS = ("micro", "tiny", "gpt2", "platform", "instrument", "compile")
"""Groups that are measured with one thread, and with as many as torch takes by itself."""


def group(name: str, rounds: int, *, smoke: bool) -> Iterator[Row]:
    """The rows of one group, as they are measured."""
    small = {"layers": 2, "width": 16, "heads": 2} if smoke else {}
    compiled = {"pos": 8, **(small or {"layers": 12, "width": 64, "heads": 4})}
    large = {"width": 768, "heads": 12, "pos": 32, "label": "GPT-2-small sized"}
    groups: dict[str, Callable[[], Iterable[Row]]] = {
        "micro": lambda: chain([micro.idle_calls(1 if smoke else 7)], micro.rows(rounds), [tiny.fixed_cost(rounds)]),
        "tiny": lambda: tiny.rows(rounds, **small),
        "gpt2": lambda: () if smoke else tiny.rows(max(rounds // 20, 5), **large),
        "admission": lambda: outfit.rows(max(rounds // 4, 3)),
        "platform": lambda: outfit.whole_outfit(rounds, **small),
        "instrument": lambda: instrumented.rows(rounds),
        "real": lambda: () if smoke else instrumented.real_rows(max(rounds // 5, 5)),
        "isolation": lambda: isolation.rows(rounds),
        "memory": lambda: () if smoke else memory.rows(),
        "compile": lambda: gpu.compiled_rows(rounds, device="cpu", **compiled),
        "gpu": lambda: chain(gpu.eager_rows(rounds), gpu.compiled_rows(rounds)) if torch.cuda.is_available() else (),
    }
    yield from groups[name]()


def measure(names: list[str], rounds: int, *, smoke: bool, threads: int) -> Iterator[Row]:
    """All rows of these groups, each printed as soon as it is there."""
    torch.set_num_threads(threads)
    for name in names:
        for row in group(name, rounds, smoke=smoke):
            others = "  ".join(f"{o} {row.ratio(o):.3f}x" for o in row.seconds if o != "hookframe")
            ours = show(row.seconds["hookframe"] / row.per, row.unit)
            print(
                f"{row.number:>4} {row.what:70} {ours:>10}  {others}  [{row.targets}] {row.reached} {row.note}",
                flush=True,
            )
            yield replace(row, threads=str(threads))


def apart(name: str, rounds: int, threads: int) -> list[Row]:
    """The rows of one group, measured in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "rows.json"
        sizes = ["--rounds", str(rounds), "--threads", str(threads)]
        options = ["--only", name, *sizes, "--json", str(file), "--out", directory]
        warnings = [f"-W{option}" for option in sys.warnoptions]
        subprocess.run([sys.executable, *warnings, "-m", "benchmarks", *options], check=True)  # noqa: S603  # this package
        return [row for _, found in read([file]) for row in found]


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="What a hook costs, as ratios.")
    parser.add_argument("--smoke", action="store_true", help="a size that only shows that it runs")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--threads", type=int, help="only with so many; else with one, and some with as many as torch takes"
    )
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=[*GROUPS])
    parser.add_argument("--json", type=Path, help="keep what was measured there")
    parser.add_argument(
        "--from", dest="sources", type=Path, nargs="+", help="make the report from these instead of measuring"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the report goes")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)  # now: what is measured takes minutes
    if options.sources:
        write(options.out, read(options.sources))
        return 0
    if options.smoke or (options.threads and len(options.only) == 1):
        rounds, threads = (2, 1) if options.smoke else (options.rounds, options.threads)
        with hookframe.use_plugins():
            rows = list(measure(options.only, rounds, smoke=options.smoke, threads=threads))
    else:
        both = [options.threads] if options.threads else sorted({1, torch.get_num_threads()})
        each = [
            (name, count)
            for name in options.only
            for count in (both if name in WITH_THREADS or options.threads else (1,))
        ]
        rows = [row for name, count in each for row in apart(name, options.rounds, count)]
    if options.json:
        write_json(options.json, here(), rows)
    if not options.smoke:
        write(options.out, [(here(), rows)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
