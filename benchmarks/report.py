"""The report: a table of every row, where it was measured, and a plot."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.row import Row, middle, show

__all__ = ["Measured", "here", "read", "write"]

PEERS = ("transformer_lens", "nnsight")
Measured = tuple[dict[str, str], list[Row]]
"""Where, and what."""


def here() -> dict[str, str]:
    """The machine, the versions and the day."""
    found = {
        "day": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "Python": platform.python_version(),
        "torch": torch.__version__,
    }
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name()
    for peer in PEERS:
        try:
            found[peer] = version(peer)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "an unknown processor"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "an unknown processor")


def read(paths: Iterable[Path]) -> list[Measured]:
    """What earlier runs wrote, on this machine or on others.

    Of several on one day and machine with the same versions, each row is that of the run in the middle. A row is another where
    it was measured against others, as without a peer.
    """
    found: dict[tuple[str, ...], tuple[dict[str, str], dict[tuple[object, ...], list[Row]]]] = {}
    for path in paths:
        data = json.loads(path.read_text(encoding="utf-8"))
        where: dict[str, str] = data["where"]
        _, rows = found.setdefault((*where, *where.values()), (where, {}))
        alike: Counter[tuple[object, ...]] = Counter()
        for plain in data["rows"]:
            row = Row(**{k: v for k, v in plain.items() if k != "reached"})
            key = (row.number, row.what, row.threads, row.unit, *row.seconds)
            rows.setdefault((alike[key], *key), []).append(row)
            alike[key] += 1
    return [(where, [middle(runs) for runs in rows.values()]) for where, rows in found.values()]


def write_json(path: Path, where: dict[str, str], rows: Sequence[Row]) -> None:
    """Keep what was measured."""
    text = json.dumps({"where": where, "rows": [row.as_dict() for row in rows]}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write(directory: Path, measured: Sequence[Measured]) -> None:
    """Write ``REPORT.md`` and, if matplotlib is there, ``report.svg``."""
    lines = [_HEAD]
    for where, rows in measured:
        lines += ["", "## " + where.get("GPU", where["machine"]), ""]
        lines += [", ".join(f"{key} {value}" for key, value in where.items()) + ".", ""]
        lines += ["| # | what | hookframe | against | target | |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [_line(row) for row in rows]
    notes = directory / "NOTES.md"
    if notes.exists():
        lines += ["", notes.read_text(encoding="utf-8").rstrip()]
    (directory / "REPORT.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot(directory / "report.svg", measured)


_HEAD = """# What a hook costs

Ratios, measured in one process on the same weights, interleaved in a shuffled order, median of many rounds. *inline* is
`cache[name] = x.detach()` written into the model by hand, *bare* the model without any hook point. Where a row was measured
in several processes, the one in the middle is shown (of an even number the worse), and how far apart they were. A target is what hookframe may take at
most; ✓ says that it was reached. Made by `python -m benchmarks`.

![Ratio to the bare model](report.svg)"""


def _line(row: Row) -> str:
    ours = show(row.seconds["hookframe"] / row.per, row.unit)
    others = [
        f"{name} {show(value / row.per, row.unit)} (**{row.ratio(name):.2f}x**{_range(row, name)})"
        for name, value in row.seconds.items()
        if name != "hookframe"
    ]
    reached = {True: "✓", False: "✗", None: ""}[row.reached]
    what = f"{row.what}, {row.threads} threads" if row.threads != "1" else row.what
    note = f"; {row.note}" if row.note else ""
    per = " a point" if row.per > 1 else ""
    return f"| {row.number} | {what}{note} | {ours}{per} | {', '.join(others)} | {row.targets} | {reached} |"


def _range(row: Row, name: str) -> str:
    least, most = row.ranges.get(name, (0.0, 0.0))
    return f", {least:.2f} to {most:.2f}" if f"{least:.2f}" != f"{most:.2f}" else ""


def plot(path: Path, measured: Sequence[Measured]) -> None:
    """Bars of the time against the bare model, hookframe beside a peer."""
    try:
        import matplotlib as mpl
    except ImportError:
        return
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "hookframe"
    from matplotlib import pyplot as plt

    rows = [row for _, some in measured for row in some if "bare" in row.seconds and row.unit == "s"]
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(rows) + 1.2))
    for place, row in enumerate(reversed(rows)):
        lens = row.seconds.get("TransformerLens")
        if lens is not None:
            axes.barh(place - 0.2, lens / row.seconds["bare"], 0.38, color="#c9b8a0", label="TransformerLens")
        axes.barh(place + 0.2, row.ratio("bare"), 0.38, color="#2f6f8f", label="hookframe")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.what for row in reversed(rows)], fontsize=7)
    axes.set_xlabel("time, as a multiple of the model without hook points")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles=list(dict(zip(labels, handles, strict=True)).values()), loc="lower right")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
