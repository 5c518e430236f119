"""Trying a model's points on a small input: what fires, with which shape, and whether the family's checks hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import nn

from hookframe.core.registration.admission import device_in_force
from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.errors import HookframeError
from hookframe.instrumenting.checks import EXACT, relative
from hookframe.instrumenting.family import Check, Family, config_of
from hookframe.instrumenting.instrumented_model import InstrumentedModel

__all__ = ["ProbeFinding", "Probing", "own_input", "probe", "probe_input"]

_BATCH, _POSITIONS, _DECODED = 2, 6, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFinding:
    """A check that does not hold.

    :ivar deviation: how far off, as a part of the largest value; infinite where the shapes do not fit.
    """

    check: str
    names: tuple[str, ...]
    deviation: float
    tolerance: float

    def __str__(self) -> str:
        off = "shapes that do not fit" if self.deviation == float("inf") else f"off by {self.deviation:.2g}"
        return f"{self.check}({', '.join(self.names)}): {off} (tolerance {self.tolerance:g})"


@dataclass(frozen=True, slots=True)
class Probing:
    """What a probe found.

    :ivar values: name → value, for each point that fired, under the first of its names.
    :ivar skipped: name → why the point was left out.
    :ivar findings: the checks that do not hold.
    :ivar checked: how many were tried.
    """

    values: Mapping[str, torch.Tensor]
    skipped: Mapping[str, str]
    findings: tuple[ProbeFinding, ...]
    checked: int


def probe_input(model: nn.Module, family: Family | None, seed: int = 0) -> dict[str, torch.Tensor]:
    """A small random input for ``model``: two rows of tokens, or two images.

    :raises HookframeError: if the configuration does not say how large the vocabulary or the images are.
    """
    config = config_of(model)
    generator = torch.Generator().manual_seed(seed)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    kind = "tokens" if family is None else family.probe
    if kind == "pixels":
        size = _known(config, "image_size")
        shape = (_BATCH, _known(config, "num_channels"), size, size)
        return {"pixel_values": torch.randn(shape, generator=generator).to(device)}
    vocabulary = _known(config, "vocab_size")
    tokens = {"input_ids": _POSITIONS} | ({} if kind == "tokens" else {"decoder_input_ids": _DECODED})
    return {
        name: torch.randint(vocabulary // 2, vocabulary, (_BATCH, length), generator=generator).to(device)
        for name, length in tokens.items()
    }


def own_input(root: HookedRootModule) -> torch.Tensor:
    """Two rows of random tokens for a model with hook points of its own, which takes them in the first place.

    :raises HookframeError: if no configuration of it says how large the vocabulary is.
    """
    for config in (getattr(root, "cfg", None), config_of(root)):
        for name in ("d_vocab", "vocab_size"):
            size = getattr(config, name, None)
            if isinstance(size, int):
                generator = torch.Generator().manual_seed(0)
                tokens = torch.randint(size // 2, size, (_BATCH, _POSITIONS), generator=generator)
                return tokens.to(device_in_force(root, None) or "cpu")
    raise HookframeError(
        f"the configuration of this {type(root).__name__} has no d_vocab and no vocab_size, so a probe input cannot be made: "
        "pass inputs"
    )


def _known(config: Any, attribute: str) -> int:
    value = getattr(config, attribute, None)
    if not isinstance(value, int):
        raise HookframeError(
            f"the model's configuration has no {attribute}, so a probe input cannot be made: pass inputs"
        )
    return value


def probe(root: HookedRootModule, inputs: Mapping[str, Any] | None = None) -> Probing:
    """Run the model once, in evaluation mode and without gradients, and try every point and every check of its family.

    The checks of families hold for instrumented models; a model with hook points of its own is only run.

    :param inputs: keyword arguments for the model; None for :func:`probe_input`, or :func:`own_input`.
    :raises HookframeError: if no input can be made for it.
    """
    hooked = root if isinstance(root, InstrumentedModel) else None
    family = None if hooked is None else hooked.family
    args: tuple[Any, ...] = (own_input(root),) if hooked is None and inputs is None else ()
    given = probe_input(hooked.recognised_model, family) if inputs is None and hooked is not None else inputs or {}
    modes = {module: module.training for module in root.modules()}
    root.eval()
    try:
        with torch.no_grad():
            _, cache = root.run_with_cache(*args, **given, clone="auto")
            values = {} if hooked is None else _by_name(hooked, cache)
            outcomes = [] if hooked is None else [*_checked(hooked, values), *_equal(hooked, values)]
    finally:
        for module, mode in modes.items():
            module.training = mode
    return Probing(cache, cache.skipped, tuple(found for found in outcomes if found is not None), len(outcomes))


def _by_name(hooked: InstrumentedModel, cache: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: cache[first] for first in cache for name in hooked.names_of(first)}


def _checked(hooked: InstrumentedModel, values: Mapping[str, torch.Tensor]) -> Iterator[ProbeFinding | None]:
    """Each check of the families, once at each layer that has its points: what is wrong, or None."""
    tried: list[tuple[Check, tuple[str, ...]]] = []
    for family, layout in hooked.layouts:
        for check in family.checks:
            if not layout.applies(check.when):
                continue
            for names, module in layout.instances(check.names, check.module, values):
                if (check, names) not in tried:  # two families may have the same
                    tried.append((check, names))
                    yield _tried(check, names, None if module is None else hooked.mod_dict[module], values)


def _equal(hooked: InstrumentedModel, values: Mapping[str, torch.Tensor]) -> Iterator[ProbeFinding | None]:
    """Each pair of points that the families say are equal, once: what is wrong, or None."""
    for name, point in hooked.hook_dict.items():
        for other in hooked.place_of(point).equal:
            if name < other and name in values and other in values:
                ways = product(_joined(values[name]), _joined(values[other]))
                off = min(relative(one, two) for one, two in ways)
                found = ProbeFinding(check="Equal", names=(name, other), deviation=off, tolerance=EXACT)
                yield found if off > EXACT else None


def _joined(value: torch.Tensor) -> list[torch.Tensor]:
    """The tensor, and with its heads joined, whether ``[batch, pos, head, d_head]`` or ``[batch, head, pos, d_head]``."""
    return [value, value.flatten(-2), value.transpose(1, 2).flatten(-2)] if value.dim() == 4 else [value]


def _tried(
    check: Check, names: tuple[str, ...], module: nn.Module | None, values: Mapping[str, torch.Tensor]
) -> ProbeFinding | None:
    try:
        deviation = check.deviation([values[name] for name in names], module)
    except (RuntimeError, IndexError, TypeError, ValueError):  # tensors of other shapes than the equation is about
        deviation = float("inf")
    if deviation <= check.tolerance:
        return None
    return ProbeFinding(check=type(check).__name__, names=names, deviation=deviation, tolerance=check.tolerance)
