"""Which points of an instrumented model are closed: inside a compiled module, or behind a closed gate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from torch import nn

from hookframe.core.hooks.attachment import Attachment
from hookframe.errors import HookPointClosed
from hookframe.instrumenting.module_point import ModulePoint

if TYPE_CHECKING:
    from hookframe.core.registration.batch import Batch
    from hookframe.instrumenting.charting import Chart

__all__ = ["Closing"]

_in_place = attrgetter("_compiled_call_impl")  # as torch keeps what Module.compile() makes; None if it was not called


@dataclass(frozen=True, slots=True)
class _Around:
    """What was found out about a batch that may be used again.

    :ivar open: True if its points can be closed only by a module around them that is compiled in place.
    :ivar above: these modules.
    """

    open: bool
    above: tuple[nn.Module, ...]


class Closing:
    """Says what is closed on one model."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._of = chart.modules
        self._above: dict[str, list[tuple[str, nn.Module]]] = {}  # name of a module → those that it lies inside of

    def refuse(self, attachment: Attachment, name: str) -> None:
        """Refuse the point ``name`` if it lies inside a compiled module, or if a filter chose it and its gate is closed.

        If the user named a point behind a closed gate, the plugins refuse it: they know the rule and the remedy.

        :raises HookPointClosed: if the point is closed.
        """
        if not isinstance(attachment.point, ModulePoint):
            return
        compiled = self._compiled_above(attachment.point)
        if compiled is not None:
            raise HookPointClosed(
                f"hook point {name!r} is closed: it lies inside of a compiled module ({compiled or 'the model'}), whose code "
                "was made without it; attach before compiling, or at the compiled module's own input or output"
            )
        for family, _, model in () if attachment.exact else self._chart.models:
            closed = family.closed_gate(name, model)
            if closed is not None:
                gate, reason = closed
                raise HookPointClosed(f"hook point {name!r} is closed: {reason}; {gate.remedy}")

    def may_refuse(self, batch: Batch) -> bool:
        """True if each hook of ``batch`` must be checked: its point may be closed, or belong to another model as well.

        The answer is kept for a batch that is used again, except for what can change unnoticed. A batch is dropped
        when another model gets a point at one of its places.
        """
        if batch.shared:
            return True
        memo = batch.requests.memo
        around: _Around | None = memo.get(Closing)
        if around is None:
            around = memo[Closing] = self._around(batch.attachments)
        return not around.open or any(map(_in_place, around.above))

    def _around(self, attachments: Iterable[Attachment]) -> _Around:
        above: dict[int, nn.Module] = {}
        for attachment in attachments:
            if not attachment.exact and self._chart.models:
                return _Around(False, ())  # a gate may answer differently each time
            point = attachment.point
            if isinstance(point, ModulePoint):
                above.update({id(module): module for _, module in self._modules_above(point.module_name)})
        modules = tuple(above.values())
        return _Around(not any(map(_is_made_by_compiler, modules)), modules)

    def _compiled_above(self, point: ModulePoint) -> str | None:
        """The name of a compiled module that the point's module lies inside of; None if there is none."""
        for outer, module in self._modules_above(point.module_name):
            if _in_place(module) is not None or _is_made_by_compiler(module):
                return outer
        return None

    def _modules_above(self, name: str) -> list[tuple[str, nn.Module]]:
        if self._chart.modules is not self._of:  # the model was read again
            self._of, self._above = self._chart.modules, {}
        found = self._above.get(name)
        if found is None:
            found = self._above[name] = [*_enclosing(name, self._of)]
        return found


def _enclosing(name: str, modules: dict[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    while name:
        name = name.rpartition(".")[0]
        module = modules.get(name)
        if module is not None:
            yield name, module


def _is_made_by_compiler(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch._dynamo")
