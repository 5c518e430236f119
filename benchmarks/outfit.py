"""Many names, many hooks, and a platform's whole outfit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import torch

from benchmarks.micro import forget_filters, manager_of
from benchmarks.row import Row
from benchmarks.stack import Bare, stack_of, weights_of
from benchmarks.timing import interleaved
from hookframe import HookedRootModule, HookPoint, HookRequest, PluginManager, hookimpl

__all__ = ["rows"]


class Abstains:
    """A validator that looks at every request, and has no objection."""

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests: Sequence[HookRequest]) -> None:
        """Object to nothing."""
        for request in requests:
            if request.permanent:
                raise AssertionError("there are none here")


def policy_of(rules: int) -> Any:
    """A policy with so many rules, none of which matches here."""
    from hookframe.policy.files.reading import read_layer
    from hookframe.policy.in_force.engine import PolicyEngine
    from hookframe.policy.in_force.merging import merge
    from hookframe.policy.language.vocabulary import LayerKind

    text = ["schema = 1"]
    for number in range(rules):
        text += [
            "[[rules]]", f'id = "rule-{number}"', 'reason = "not here"', 'remedy = "none"',
            f'points = ["other.{number}.**"]',
        ]  # fmt: skip
    return PolicyEngine(merge([read_layer("\n".join(text).encode(), LayerKind.PROJECT, "benchmark.toml")]))


@contextmanager
def platform(validators: int, rules: int) -> Iterator[PluginManager]:
    """So many validators, a policy, and a journal."""
    from hookframe_journal.plugin import JournalPlugin

    manager = PluginManager(*(Abstains() for _ in range(validators)))
    manager.register(policy_of(rules))
    with tempfile.TemporaryDirectory() as directory, closing(JournalPlugin(directory)) as journal:
        manager.register(journal)
        yield manager


def rows(rounds: int) -> Iterator[Row]:
    """Row 11, and the limits on admission itself."""
    yield many_names(rounds)
    yield many_hooks(rounds)


def many_names(rounds: int) -> Row:
    """5,000 of 10,000 names against 500 of 1,000: linear is 10."""
    found = {}
    for count in (1000, 10000):
        model = manager_of(HookedRootModule, HookPoint, count)
        half = [f"points.{index}" for index in range(0, count, 2)]

        def anew(model: Any = model, half: list[str] = half) -> None:
            forget_filters(model)
            model.selection(half)

        found[count] = interleaved({"it": anew}, rounds)["it"]
    return Row(
        number="-", what="5,000 of 10,000 names against 500 of 1,000 (linear: 10x)",
        seconds={"hookframe": found[10000], "500 of 1,000": found[1000]}, limits={"500 of 1,000": 15.0},
    )  # fmt: skip


def many_hooks(rounds: int) -> Row:
    """1,000 hooks added and removed, with two plugins and 20 rules."""
    model = manager_of(HookedRootModule, HookPoint, 1000)
    manager = PluginManager(Abstains(), Abstains())
    manager.register(policy_of(20))
    model.admission_controller = manager

    def add_and_remove() -> None:
        for handle in model.add_hook(lambda name: True, _read):
            handle.remove()

    found = interleaved({"hookframe": add_and_remove}, max(rounds // 5, 3))
    return Row(number="-", what="1,000 hooks added and removed, two plugins, 20 rules", seconds=found, absolute=15e-3)


def whole_outfit(rounds: int, layers: int = 12, width: int = 64, heads: int = 4) -> Iterator[Row]:
    """Row 11: cache everything under five validators, 100 rules and the journal."""
    torch.manual_seed(0)
    weights = weights_of(layers, width, heads)
    hooked, bare = stack_of(HookedRootModule, HookPoint, weights), Bare(weights)
    x = torch.randn(1, 8, width)
    with platform(5, 100) as manager, torch.no_grad():
        hooked.admission_controller = manager

        def anew() -> None:
            hooked.kept_tree.forget_plans()
            hooked.run_with_cache(x)

        cases = {"hookframe": anew, "bare": lambda: bare(x)}
        what = "tiny: cache everything, 5 validators, 100 rules and the journal"
        yield Row(number="11", what=f"{what}, first", seconds=interleaved(cases, rounds), limits={"bare": 1.5})
        cases = {"hookframe": lambda: hooked.run_with_cache(x), "bare": lambda: bare(x)}
        yield Row(number="11", what=f"{what}, again", seconds=interleaved(cases, rounds), limits={"bare": 1.3})


def _read(tensor: torch.Tensor, hook: Any) -> None:
    return None
