"""Measure, and write the report: ``python -m benchmarks``.

``--smoke`` runs every row once, at a size that shows nothing but that it runs. ``--json FILE`` keeps what was measured, and
``--from FILE …`` makes the report from what was kept, on whatever machines.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

import hookframe
from benchmarks import gpu, instrumented, isolation, memory, micro, outfit, tiny
from benchmarks.report import here, read, write, write_json
from benchmarks.row import Row, show

GROUPS = ("micro", "tiny", "gpt2", "admission", "platform", "instrument", "isolation", "memory", "compile", "gpu")


def group(name: str, rounds: int, *, smoke: bool) -> Iterator[Row]:
    """The rows of one group, as they are measured."""
    small = {"layers": 2, "width": 16, "heads": 2} if smoke else {}
    if name == "micro":
        yield micro.idle_calls(1 if smoke else 7)
        yield from micro.rows(rounds)
        yield tiny.fixed_cost(rounds)
    elif name == "tiny":
        yield from tiny.rows(rounds, **small)
    elif name == "gpt2" and not smoke:
        yield from tiny.rows(max(rounds // 20, 5), width=768, heads=12, pos=32, label="GPT-2-small sized")
    elif name == "admission":
        yield from outfit.rows(max(rounds // 4, 3))
    elif name == "platform":
        yield from outfit.whole_outfit(rounds, **small)
    elif name == "instrument":
        yield from instrumented.rows(rounds)
    elif name == "isolation":
        yield from isolation.rows(rounds)
    elif name == "memory" and not smoke:
        yield from memory.rows()
    elif name == "compile":
        size = {"pos": 8} | (
            {"layers": 2, "width": 16, "heads": 2} if smoke else {"layers": 12, "width": 64, "heads": 4}
        )
        yield from gpu.compiled_rows(rounds, device="cpu", **size)
    elif name == "gpu" and torch.cuda.is_available():
        yield from gpu.eager_rows(rounds)
        yield from gpu.compiled_rows(rounds)


def measure(names: list[str], rounds: int, *, smoke: bool, threads: list[int]) -> Iterator[Row]:
    """All rows of these groups, each printed as soon as it is there."""
    for name in names:
        for count in threads if name in ("tiny", "gpt2") else threads[:1]:
            torch.set_num_threads(count)
            for row in group(name, rounds, smoke=smoke):
                row = replace(row, threads=str(count))
                others = "  ".join(f"{o} {row.ratio(o):.3f}x" for o in row.seconds if o != "hookframe")
                ours = show(row.seconds["hookframe"] / row.per, row.unit)
                print(
                    f"{row.number:>4} {row.what:70} {ours:>10}  {others}  [{row.targets}] {row.reached} {row.note}",
                    flush=True,
                )
                yield row


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="What a hook costs, as ratios.")
    parser.add_argument("--smoke", action="store_true", help="a size that only shows that it runs")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=[*GROUPS])
    parser.add_argument("--json", type=Path, help="keep what was measured there")
    parser.add_argument(
        "--from", dest="sources", type=Path, nargs="+", help="make the report from these instead of measuring"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where the report goes")
    options = parser.parse_args()
    if options.sources:
        write(options.out, read(options.sources))
        return 0
    default = torch.get_num_threads()
    threads = [1] if options.smoke or default == 1 else [1, default]
    with hookframe.use_plugins():
        rows = list(measure(options.only, 2 if options.smoke else options.rounds, smoke=options.smoke, threads=threads))
    if options.json:
        write_json(options.json, here(), rows)
    if not options.smoke:
        write(options.out, [(here(), rows)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
