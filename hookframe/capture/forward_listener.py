"""Notices that a forward begins and ends, while a capture is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn
from torch.compiler import is_dynamo_compiling
from torch.utils.hooks import RemovableHandle

from hookframe.capture.row_watch import RowWatch
from hookframe.capture.step import Step, inputs_by_name, read_step
from hookframe.core.values.scope import Scope
from hookframe.instrumenting.inert import Inert

__all__ = ["Beginning", "ForwardListener"]


class Beginning(NamedTuple):
    """A forward that begins.

    :ivar inputs: its arguments, by the names of the parameters.
    :ivar reordered: True if the key-value cache has other rows than the forward before left there.
    """

    inputs: Mapping[str, Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reordered: bool

    def step(self, index: int) -> Step:
        """What is known of it, as the capture's step number ``index``."""
        return read_step(index, self.inputs, reordered=self.reordered)


class ForwardListener:
    """A forward pre-hook that tells the capture of each forward of the thread or task that opened it.

    :param begins: called as each begins.
    :param cut: called with how many of its last positions the forward before has lost in its key-value cache since.
    :ivar hookframe_managed: says that this torch hook is hookframe's own.
    :ivar paused: True while the capture ignores forwards, as during an estimate, which only traces shapes.
    """

    hookframe_managed = True

    def __init__(self, begins: Callable[[Beginning], None], cut: Callable[[int], None]) -> None:
        self._begins = begins
        self._cut = cut
        self.paused = False
        self._scope = Scope()
        self._rows = RowWatch()
        self._handles: list[RemovableHandle] = []

    def start(self, module: nn.Module) -> None:
        """Listen to calls of ``module``."""
        self._scope.open()
        self._handles = [
            module.register_forward_pre_hook(self, with_kwargs=True),
            module.register_forward_hook(_End(self), with_kwargs=True),
        ]

    def stop(self) -> None:
        """Listen no longer; a second call does nothing."""
        if self._handles:
            for handle in self._handles:
                handle.remove()
            self._handles = []
            try:
                self.look()
            finally:
                self._rows.forget()
                self._scope.close()

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward of ``module`` begins."""
        if self._scope.active and not self.paused:
            inputs = inputs_by_name(module.forward, args, kwargs)
            self.look(inputs)
            self._begins(Beginning(inputs, args, kwargs, self._rows.have_moved(inputs)))

    def look(self, inputs: Mapping[str, Any] | None = None) -> None:
        """Look how the key-value cache has changed since the last forward ended."""
        lost = self._rows.taken_back(inputs)
        if lost:
            self._cut(lost)

    def ends(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """A forward of ``module`` has ended."""
        if self._scope.active and not self.paused:
            self._rows.look(inputs_by_name(module.forward, args, kwargs), output)

    def __reduce__(self) -> tuple[type[Inert], tuple[()]]:
        """A copy of the model is not captured."""
        return Inert, ()


class _End:
    """The forward hook of a listener."""

    hookframe_managed = True

    def __init__(self, listener: ForwardListener) -> None:
        self._listener = listener

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not is_dynamo_compiling():  # compiled code shows no key-value cache
            self._listener.ends(module, args, kwargs, output)

    def __reduce__(self) -> tuple[type[Inert], tuple[()]]:
        return Inert, ()
