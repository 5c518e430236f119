"""Times that can be compared: interleaved in one process, in a shuffled order, median of many rounds."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

__all__ = ["difference", "interleaved", "many", "unused_classes"]


def interleaved(cases: Mapping[str, Callable[[], object]], rounds: int, *, warm: int = 3) -> dict[str, float]:
    """Median seconds of each case; in each round all of them run once, in a shuffled order.

    On a GPU each time is taken once everything that was started has ended.
    """
    return {name: statistics.median(values) for name, values in _times(cases, rounds, warm).items()}


def difference(
    one: Callable[[], object], other: Callable[[], object], rounds: int, before: Callable[[], object]
) -> float:
    """How many seconds more ``one`` takes than ``other``: the median of what it is in each round.

    For what is small beside both; the medians of the two differ by more than that.

    :param before: called before each, and not measured.
    """
    times = _times({"one": one, "other": other}, rounds, 3, before)
    return statistics.median(a - b for a, b in zip(times["one"], times["other"], strict=True))


def _times(
    cases: Mapping[str, Callable[[], object]], rounds: int, warm: int, before: Callable[[], object] | None = None
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    wait = torch.cuda.synchronize if torch.cuda.is_available() else _nothing
    for _ in range(warm):
        for name in names:
            cases[name]()
    with _without_collection():
        for _ in range(rounds):
            random.shuffle(names)
            for name in names:
                if before is not None:
                    before()
                wait()
                start = time.perf_counter()
                cases[name]()
                wait()
                times[name].append(time.perf_counter() - start)
    return times


def many(call: Callable[[], object], count: int) -> Callable[[], None]:
    """``call``, ``count`` times."""

    def run() -> None:
        for _ in range(count):
            call()

    return run


def unused_classes(count: int) -> list[type]:
    """Classes that nobody uses.

    CPython's cache of (type, attribute) look-ups collides by chance, and one collision can double an idle call; so calls of
    a few nanoseconds are measured in several processes, each with another number of these made first.
    """
    return [type(f"Unused{index}", (), {"attribute": index}) for index in range(count)]


def _nothing() -> None:
    pass


@contextmanager
def _without_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
