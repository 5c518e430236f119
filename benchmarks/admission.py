"""What admission costs for each point: bare, with plugins, with a policy, with a journal.

``OMP_NUM_THREADS=1 python benchmarks/admission.py``; ``--smoke`` only shows that it runs. One operation is a context of
hooks on 200 points, entered and left; the same operation is repeated, as people repeat it. The cases take turns in a
shuffled order. The last lines say what a refusal costs, which is on the disk before it is told.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from hookframe_journal.plugin import JournalPlugin
from hookframe_journal.sealing import new_key_pair
from torch import nn

from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, PluginManager, hookimpl, use_plugins
from hookframe.policy import LayerKind, PolicyEngine, merge, read_layer

POINTS, RULES, PLUGINS = 200, 100, 5
JOURNALS: list[JournalPlugin] = []


class Model(HookedRootModule):
    """Hook points in blocks of ten."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            [nn.ModuleDict({f"hook_{i}": HookPoint() for i in range(10)}) for _ in range(POINTS // 10)]
        )
        self.setup()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Validator:
    """Looks at each request, and finds nothing."""

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return [Objection.deny(r, rule="none", message="none", remedy="none") for r in requests if r.point == "none"]


class Refuses:
    """Refuses everything."""

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        return Objection.deny(requests[0], rule="no", message="no", remedy="none")


def policy_engine() -> PolicyEngine:
    rules = [
        f'[[rules]]\nid = "rule-{n}"\npoints = ["blocks.{n % 40}.hook_{n % 10}"]\nwhen = {{ "model.cfg.width" = {n} }}\n'
        'action = "deny"\nreason = "so"\nremedy = "otherwise"\n'
        for n in range(RULES)
    ]
    text = "schema = 1\n" + "".join(rules)
    return PolicyEngine(merge([read_layer(text.encode(), LayerKind.PROJECT, "benchmark.toml")]))


def journal(folder: Path, **settings: str) -> JournalPlugin:
    JOURNALS.append(JournalPlugin(folder, **settings))
    return JOURNALS[-1]


def look(tensor: torch.Tensor, hook: HookPoint) -> None:
    """A hook."""


def cases(folder: Path) -> dict[str, tuple[object, ...]]:
    plugins = [type(f"Validator{n}", (Validator,), {})() for n in range(PLUGINS)]
    sealed_to = new_key_pair()[1]
    return {
        "no plugin": (),
        "5 plugins": (*plugins,),
        "5 plugins, 100 rules": (*plugins, policy_engine()),
        "5 plugins, journal": (*plugins, journal(folder / "a")),
        "5 plugins, 100 rules, journal": (*plugins, policy_engine(), journal(folder / "b")),
        "5 plugins, 100 rules, sealed journal": (*plugins, policy_engine(), journal(folder / "c", sealed_to=sealed_to)),
    }  # fmt: skip


def timed(operation: Callable[[], object]) -> float:
    start = time.perf_counter()
    operation()
    return time.perf_counter() - start


def enter(model: Model) -> None:
    with model.hooks(fwd_hooks=[(list(model.hook_dict), look)]):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    rounds = 3 if parser.parse_args().smoke else 200
    with tempfile.TemporaryDirectory() as folder:
        managers = {name: PluginManager(*plugins) for name, plugins in cases(Path(folder)).items()}
        models = {name: Model() for name in managers}
        times: dict[str, list[float]] = {name: [] for name in managers}
        for _ in range(rounds):
            for name in random.sample(list(managers), len(managers)):
                with use_plugins(managers[name]):
                    times[name].append(timed(lambda: enter(models[name])))  # noqa: B023  # called at once
        for name, seconds in times.items():
            first, median = seconds[0] / POINTS * 1e6, statistics.median(seconds) / POINTS * 1e6
            print(f"{name:40} first {first:8.2f}   median {median:6.2f} us a point")
        refusal("without", (), rounds)
        refusal("with", (journal(Path(folder) / "d"),), rounds)
        for plugin in JOURNALS:
            plugin.close()


def refusal(how: str, plugins: tuple[object, ...], rounds: int) -> None:
    model = Model()
    with use_plugins(Refuses(), *plugins):
        seconds = [timed(lambda: refused(model)) for _ in range(rounds)]
    print(f"a refusal {how} a journal{'':21} median {statistics.median(seconds) * 1e6:10.1f} us")


def refused(model: Model) -> None:
    with suppress(HookDenied):
        enter(model)


if __name__ == "__main__":
    main()
