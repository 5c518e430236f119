"""Notices that a forward begins, while a capture is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hookframe.capture.step import inputs_by_name
from hookframe.core.scope import Scope
from hookframe.instrumenting.inert import Inert

__all__ = ["Clock"]


class Clock:
    """A forward pre-hook that tells the capture of each forward of the thread or task that opened it.

    :ivar hookframe_managed: says that this torch hook is hookframe's own.
    """

    hookframe_managed = True

    def __init__(self, begins: Callable[[Mapping[str, Any], tuple[Any, ...], dict[str, Any]], None]) -> None:
        self._begins = begins
        self._scope = Scope()
        self._handle: Any = None

    def start(self, module: nn.Module) -> None:
        """Listen to calls of ``module``."""
        self._scope.open()
        self._handle = module.register_forward_pre_hook(self, with_kwargs=True)

    def stop(self) -> None:
        """Listen no longer; a second call does nothing."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
            self._scope.close()

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward of ``module`` begins."""
        if self._scope.active:
            self._begins(inputs_by_name(module.forward, args, kwargs), args, kwargs)

    def __reduce__(self) -> tuple[type[Inert], tuple[()]]:
        """A copy of the model is not captured."""
        return Inert, ()
