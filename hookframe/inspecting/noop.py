"""The check that observing changes nothing: outputs with observers on every point are those without, bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hookframe.core.hooks.guards import read_only
from hookframe.core.model.names import select
from hookframe.core.values.types import NamesFilter
from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.errors import HookDidNotFireWarning, NoopCheckFailed
from hookframe.inspecting.bits import copied, same_bits, tensors_in
from hookframe.inspecting.reasons import reason_for
from hookframe.instrumenting.instrument import instrument

__all__ = ["NoopReport", "check_noop"]

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoopReport:
    """What a check looked at.

    :ivar points: the names of the points whose observers ran, in the model's order.
    :ivar silent: the names of those that never fired, or that the admission left out.
    :ivar tensors: how many tensors were compared.
    """

    points: tuple[str, ...]
    silent: tuple[str, ...]
    tensors: int


def check_noop(
    model: nn.Module, inputs: Any, *, names_filter: NamesFilter = None, gradients: bool = False
) -> NoopReport:
    """Run ``model`` without and with observers, and compare what comes out, bit for bit.

    A model may compute something else merely because it is observed: torch leaves out its fused path for transformer
    layers if a module inside has a hook, and the model's own code may ask whether there is a hook. If anything
    differs, the model is run again with fewer observers until the one that makes the difference is found.

    The model is left as it was: buffers and random numbers are put back after each run, and inputs are copied for each.

    :param model: with hook points, or any module; that is instrumented meanwhile.
    :param inputs: one tensor, a sequence of positional arguments, or a mapping of keyword arguments.
    :param names_filter: which points to observe; None for all.
    :param gradients: observe gradients too, and compare those of every parameter with respect to the sum of the outputs.
    :returns: what was looked at.
    :raises NoopCheckFailed: naming the point and the reason, if something differs; also if two runs without observers
        differ already, so that no comparison is possible.
    :raises HookDenied: if the admission refuses the observers.
    """
    if isinstance(model, HookedRootModule):
        return _Check(model, inputs, gradients).report(names_filter)
    with instrument(model) as hooked:
        return _Check(hooked, inputs, gradients).report(names_filter)


class _Check:
    """One model, one input: run as often as need be."""

    def __init__(self, root: HookedRootModule, inputs: Any, gradients: bool) -> None:
        self.root = root
        self.gradients = gradients
        self.args, self.kwargs = _arguments(inputs)

    def report(self, names_filter: NamesFilter) -> NoopReport:
        self.root.refresh()
        wanted = [name for name, _, _ in select(names_filter, self.root.hook_dict)]
        plain = self._run()
        if not plain:
            raise NoopCheckFailed(
                f"the output of this {_kind(self.root)} holds no tensor, so there is nothing to compare: check a model that "
                "returns tensors, in a mapping, a sequence, a dataclass or a plain object if need be"
            )
        if not same_bits(plain, self._run()):
            raise NoopCheckFailed(
                f"two runs of this {type(self.root).__name__} without observers differ already, so it cannot be said what "
                "observers change: call model.eval(), and make it compute the same each time"
            )
        fired: set[str] = set()
        if not same_bits(plain, self._run(wanted, fired)):
            point = self._culprit(plain, wanted)
            reason = "no single observer changes anything" if point is None else reason_for(self.root, point)
            where = "at several points together" if point is None else f"at {point!r}"
            raise NoopCheckFailed(
                f"{_kind(self.root)} computes something else with an observer {where}: {reason}",
                point=point,
                reason=reason,
            )
        return NoopReport(
            points=tuple(name for name in wanted if name in fired),
            silent=tuple(name for name in wanted if name not in fired),
            tensors=len(plain),
        )

    def _culprit(self, plain: Sequence[torch.Tensor], suspects: Sequence[str]) -> str | None:
        """Halve the suspects as long as the observers of one half make a difference."""
        while len(suspects) > 1:
            middle = len(suspects) // 2
            halves = (suspects[:middle], suspects[middle:])
            guilty = next((half for half in halves if not same_bits(plain, self._run(half))), None)
            if guilty is None:
                return None
            suspects = guilty
        return suspects[0]

    def _run(self, observed: Sequence[str] = (), fired: set[str] | None = None) -> list[torch.Tensor]:
        """Outputs, and gradients if asked for, with observers at ``observed``; the model is as before afterwards."""
        wanted, seen = frozenset(observed), set[str]() if fired is None else fired

        @read_only
        def observe(tensor: Any, hook: Any) -> None:
            seen.add(hook.name)

        hooks: list[tuple[Callable[[str], bool], Any]] = [(wanted.__contains__, observe)] if wanted else []
        args, kwargs = copied(self.args), copied(self.kwargs)
        with _undone(self.root), _silence_allowed(), self.root.hooks(hooks, hooks if self.gradients else ()):
            output = self.root(*args, **kwargs)
            found = tensors_in(output)
            if self.gradients:
                found += self._gradients(found)
        return [tensor.detach().clone() for tensor in found]

    def _gradients(self, outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        parameters = [parameter for parameter in self.root.parameters() if parameter.requires_grad]
        sums = [output.sum() for output in outputs if output.requires_grad and output.is_floating_point()]
        if not (sums and parameters):
            raise NoopCheckFailed(
                f"no output of this {_kind(self.root)} depends on a parameter that requires a gradient: call it with "
                "gradients=False, or enable gradients"
            )
        found = torch.autograd.grad(sums, parameters, allow_unused=True)
        return [gradient for gradient in found if gradient is not None]


def _kind(root: HookedRootModule) -> str:
    return type(root.forward_module).__name__ if root.forward_module is not root else type(root).__name__


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(inputs, torch.Tensor):
        return (inputs,), {}
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        return tuple(inputs), {}
    raise TypeError(
        f"inputs is a {type(inputs).__name__}: give one tensor, a sequence of positional arguments, or a mapping of keywords"
    )


@contextmanager
def _silence_allowed() -> Iterator[None]:
    """Observers that never fire are part of the report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HookDidNotFireWarning)
        yield


@contextmanager
def _undone(root: nn.Module) -> Iterator[None]:
    """Start from one state of the random numbers, and put buffers and random numbers back."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in root.buffers()]
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    if not same_bits([buffer], [before]):
                        buffer.copy_(before)
