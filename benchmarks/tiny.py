"""A model so small that the hooks are what costs: 12 blocks with 17 points each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.by_hand import StackByHand
from benchmarks.micro import manager_of
from benchmarks.peers import transformer_lens
from benchmarks.row import Row
from benchmarks.stack import FLOORS, NAMES, Bare, Inline, Watched, names_in, stack_of, weights_of
from benchmarks.timing import difference, interleaved
from hookframe import HookedRootModule, HookPoint

__all__ = ["rows"]

Cases = dict[str, Callable[[], object]]
HAND = "points by hand"


def stacks(layers: int, width: int, heads: int) -> dict[str, Any]:
    """The stack of each system, on the same weights."""
    torch.manual_seed(0)
    weights = weights_of(layers, width, heads)
    found: dict[str, Any] = {"hookframe": stack_of(HookedRootModule, HookPoint, weights), "bare": Bare(weights)}
    found |= {"inline": Inline(weights), HAND: StackByHand(weights)} | {
        how: Watched(weights, keep) for how, keep in FLOORS.items()
    }
    lens = transformer_lens()
    if lens is not None:
        found["TransformerLens"] = stack_of(lens.HookedRootModule, lens.HookPoint, weights)
    return found


def rows(
    rounds: int, *, layers: int = 12, width: int = 64, heads: int = 4, pos: int = 8, label: str = "tiny"
) -> Iterator[Row]:
    """Rows 3, 4 and 6, and what idle points cost."""
    models = stacks(layers, width, heads)
    x = torch.randn(1, pos, width)
    bare: Cases = {"bare": lambda: models["bare"](x)}
    measured = Measured(models, rounds, label)
    with torch.no_grad():
        yield from measured.rows("-", "idle points", lambda m: m(x), bare)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            how = "with" if grad else "without"
            floors: Cases = {"inline": lambda: models["inline"](x), HAND: lambda: models[HAND].run_with_cache(x)}
            yield from measured.rows(
                "3", f"run_with_cache, all, {how} gradients", lambda m: m.run_with_cache(x), bare | floors,
                {"bare": 1.25, "inline": 1.10}, floor=HAND,
            )  # fmt: skip
    out = [f"blocks.{index}.hook_resid_post" for index in range(layers)]
    hooks = [(out[layers // 2], _read)]
    with torch.no_grad():
        few: dict[str, Callable[[Any], object]] = {
            f"cache {layers} of {layers * len(NAMES)}": lambda m: m.run_with_cache(x, names_filter=out),
            "one read hook": lambda m: m.run_with_hooks(x, fwd_hooks=hooks),
        }
        for what, run in few.items():
            hand: Cases = {HAND: lambda run=run: run(models[HAND])}
            yield from measured.rows("4", what, run, bare | hand, {"bare": 1.10}, floor=HAND)
    yield from backward(measured, x)


class Measured:
    """Rows of one stack. Peers have a row of their own: what they leave in the processor's caches is not for the others."""

    def __init__(self, models: dict[str, Any], rounds: int, label: str) -> None:
        self.models, self.rounds, self.label = models, rounds, label

    def rows(
        self,
        number: str,
        what: str,
        run: Callable[[Any], object],
        others: Cases,
        limits: dict[str, float] | None = None,
        **options: Any,
    ) -> Iterator[Row]:
        """What ``run`` takes, beside ``others`` and then beside peers."""
        ours: Cases = {"hookframe": lambda: run(self.models["hookframe"])}
        seconds = interleaved(ours | others, self.rounds)
        yield Row(number=number, what=f"{self.label}: {what}", seconds=seconds, limits=limits or {}, **options)
        if "TransformerLens" in self.models:
            peer: Cases = {"TransformerLens": lambda: run(self.models["TransformerLens"])}
            yield Row(number=number, what=f"{self.label}: {what}", seconds=interleaved(ours | peer, self.rounds))


def backward(measured: Measured, x: torch.Tensor) -> Iterator[Row]:
    """Row 6: every activation and every gradient."""

    x = x.clone().requires_grad_()
    models = measured.models
    bare, parameters = models["bare"], [*models["bare"].parameters()]  # the same ones in all

    def forget() -> None:
        for parameter in parameters:
            parameter.grad = None

    def plain() -> None:
        bare(x).sum().backward()
        forget()

    def by_hand(model: Any) -> None:
        output, cache = model(x)
        output.sum().backward()
        cache.check()
        forget()

    def all_of(model: Any) -> None:
        _, cache = model.run_with_cache(x, loss=True, incl_bwd=True)
        forget()
        assert len(cache) == 2 * len([*names_in(len(model.blocks))])

    floors: Cases = {f"{how} by hand": lambda m=models[how]: by_hand(m) for how in FLOORS}
    yield from measured.rows(
        "6", "all activations and gradients, forward and backward", all_of, {"bare": plain, **floors},
        {"bare": 1.40}, floor="autograd function by hand",
    )  # fmt: skip


def fixed_cost(rounds: int) -> Row:
    """Row 4: what a run costs that caches 12 points, with 200 and with 4,000 in the model, less the calls of the points.

    The processor's caches are emptied before each, as by a model that computes something: 4,000 points leave no place there
    for anything else, and 200 do.
    """
    found: dict[str, float] = {}
    filling = bytearray(1 << 26)  # more than they hold; copied by one thread
    for count in (200, 4000):
        model = manager_of(HookedRootModule, HookPoint, count)
        names = [f"points.{index}" for index in range(0, 192, 16)]
        x = torch.randn(4)
        found[str(count)] = difference(
            lambda m=model, n=names, x=x: m.run_with_cache(x, names_filter=n),
            lambda m=model, x=x: m(x),
            2 * rounds,
            lambda: bytes(filling),
        )
    return Row(
        number="4", what="fixed cost of caching 12 points, caches empty: 4,000 against 200 in the model",
        seconds={"hookframe": max(found["4000"], 1e-9), "of 200 points": max(found["200"], 1e-9)}, limits={"of 200 points": 2.0},
    )  # fmt: skip


def _read(tensor: torch.Tensor, hook: Any) -> None:
    return None
