"""How far an operation walks through the code: ``python -m benchmarks.walks`` prints functions called, files, changes of file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, PluginManager, hookimpl

PACKAGE = str(Path(hookframe.__file__).parent)
X = torch.ones(1, 3)


class Model(HookedRootModule):
    """Two points, and a layer between them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.layer, self.b = HookPoint(), nn.Linear(3, 3), HookPoint()
        self.setup()

    def forward(self, x: Any) -> Any:
        return self.b(self.layer(self.a(x)))


class Denies:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests: Any) -> Any:
        return [Objection.deny(r, rule="no", message="not here", remedy="elsewhere") for r in requests]


class Allows:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests: Any) -> None:
        """Object to nothing."""


def read(tensor: Any, hook: Any) -> None:
    """Look."""


def walk(operation: Callable[[], Any]) -> tuple[int, int, int]:
    """Functions of hookframe that ``operation`` calls, the files that they lie in, and how often the file changes."""
    files: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            files.append(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        with contextlib.suppress(HookDenied):
            operation()
    finally:
        sys.setprofile(before)
    return len(files), len({*files}), sum(one != other for one, other in pairwise(files))


def model(*plugins: Any) -> Model:
    """A model whose controller asks these plugins, and no installed ones."""
    found, manager = Model(), PluginManager()
    for plugin in plugins:
        manager.register(plugin)
    found.admission_controller = manager
    return found


def gradients(root: Model) -> None:
    """A backward hook, and a backward pass that it sees."""
    with root.hooks(bwd_hooks=[("a", read)]):
        root(X.clone().requires_grad_()).sum().backward()


def walks() -> Iterator[tuple[str, Callable[[], Any], int]]:
    """What is walked, the operation, and how often it is run before it is counted."""
    one, two, three, four, five, six = model(), model(), model(), model(Denies()), model(Allows()), model()
    hooked = hookframe.instrument(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    hooked.admission_controller = PluginManager()
    yield "`run_with_cache`, first", lambda: one.run_with_cache(X), 0
    yield "`run_with_cache`, again", lambda: one.run_with_cache(X), 2
    yield "`run_with_hooks`, again", lambda: two.run_with_hooks(X, fwd_hooks=[("a", read)]), 2
    yield "`add_hook`", lambda: three.add_hook("a", read), 1
    yield "`add_hook`, denied", lambda: four.add_hook("a", read), 1
    yield "a validator that allows, caching again", lambda: five.run_with_cache(X), 2
    yield "`hooks(bwd_hooks)` and backward, again", lambda: gradients(six), 2
    yield "an idle `self.hook(x)`", lambda: one.a(X), 1
    yield "`instrument(model)`, then caching again", lambda: hooked.run_with_cache(X), 2


def main() -> None:
    """Print the table."""
    model().run_with_cache(X)  # what is imported when it is first needed does not count
    print("| walk | functions | files | changes of file |\n| --- | --- | --- | --- |")
    for name, operation, before in walks():
        for _ in range(before):
            with contextlib.suppress(HookDenied):
                operation()
        print(f"| {name} | {' | '.join(map(str, walk(operation)))} |")


if __name__ == "__main__":
    main()
