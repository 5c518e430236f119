"""What ``hookframe plugins list`` takes over the start of the interpreter, with 60 plugins installed.

``python benchmarks/plugins_list.py``; ``--smoke`` only shows that it runs. The plugins are fake distributions whose
modules raise when they are imported; none of them is. The cases take turns in a shuffled order, each run in a process of
its own, from a directory with a policy or without one. What is to be reached is 150 ms. Beside the time that passes stands
that of the processor, which says more on a machine with other work to do.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hookframe.testing.fake_installations import FakeSite

PLUGINS = 60
POLICY = """
schema = 1

[loading]
deny = ["acme-03"]
require = ["acme-07"]

[plugins.acme-07]
version = ">=1"
failure = "warn"
options = { limit = 4 }

[[rules]]
id = "no-edits"
points = ["blocks.0.*"]
effect = "edit"
action = "deny"
reason = "they are read-only"
remedy = "read"
"""
LIST = ("-m", "hookframe", "plugins", "list")


def cases(folder: Path) -> dict[str, tuple[Path, tuple[str, ...]]]:
    """Name → the directory to run in, and the interpreter's arguments."""
    plain, ruled = folder / "plain", folder / "ruled"
    plain.mkdir()
    ruled.mkdir()
    (ruled / "hookframe.toml").write_text(POLICY)
    return {
        "interpreter start": (plain, ("-c", "pass")),
        "plugins list": (plain, LIST),
        "plugins list --json": (plain, (*LIST, "--json")),
        "plugins list, under a policy": (ruled, LIST),
    }  # fmt: skip


def timed(place: Path, arguments: tuple[str, ...], environment: dict[str, str]) -> tuple[float, float]:
    """Milliseconds that passed, and those of the processor."""
    start, before = time.perf_counter(), processor()
    done = subprocess.run(  # noqa: S603  # this interpreter, with arguments of ours
        [sys.executable, *arguments], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    taken = (time.perf_counter() - start) * 1000, (processor() - before) * 1000
    assert done.returncode == 0, done.stdout + done.stderr
    assert arguments == ("-c", "pass") or f"acme-{PLUGINS - 1:02}" in done.stdout, done.stdout
    return taken


def processor() -> float:
    """Seconds of the processor that child processes took until now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    rounds = 1 if parser.parse_args().smoke else 30
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        site = FakeSite(folder / "site")
        for number in range(PLUGINS):
            site.normal(f"acme-{number:02}", "raise SystemExit('imported')")
        environment = {**os.environ, "PYTHONPATH": str(site.root), "COLUMNS": "120"}
        measured = cases(folder)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in measured}
        for place, arguments in measured.values():  # compiled files are written now
            timed(place, arguments, environment)
        for _ in range(rounds):
            for name in random.sample(list(measured), len(measured)):
                times[name].append(timed(*measured[name], environment))
    print(f"{'milliseconds':30} {'median':>8} {'over':>8} {'fastest':>8} {'over':>8} {'processor':>10} {'over':>8}")
    bare = figures(times["interpreter start"])
    for name, taken in times.items():
        shown = [f"{x:8.0f} {x - y:8.0f}" for x, y in zip(figures(taken), bare, strict=True)]
        print(f"{name:30} {shown[0]} {shown[1]}   {shown[2]}")


def figures(taken: list[tuple[float, float]]) -> tuple[float, float, float]:
    """The median and the least of the time that passed, and the least of the processor's."""
    passed, used = zip(*taken, strict=True)
    return statistics.median(passed), min(passed), min(used)


if __name__ == "__main__":
    main()
