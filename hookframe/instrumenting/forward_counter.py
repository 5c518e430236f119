"""Which forward of a model this is, and how often each of its points was passed in it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.compiler import is_dynamo_compiling, is_exporting
from torch.utils.hooks import RemovableHandle

from hookframe.core.torch_compat.dynamo import run_while_traced
from hookframe.instrumenting.inert import Inert

__all__ = ["ForwardCounter"]


class _Counts(threading.local):
    """The counts of one thread, so that threads that run one model at the same time do not disturb each other."""

    def __init__(self) -> None:
        self.forward = -1
        self.calls: dict[int, int] = {}


class _Beginning:
    """The torch hook that notices the beginning of a forward."""

    __slots__ = ("counts", "noticed")
    hookframe_managed = True

    def __init__(self, counts: _Counts, noticed: Callable[[], None]) -> None:
        self.counts = counts
        self.noticed = noticed

    def __call__(self, module: nn.Module, args: Any) -> None:
        if not is_dynamo_compiling() or is_exporting():
            self.notice()
        self.counts.forward += 1
        self.counts.calls.clear()

    @run_while_traced
    def notice(self) -> None:
        """Report that a forward begins; if torch makes a program of the model, once, while it does."""
        self.noticed()

    def __reduce__(self) -> tuple[type[Inert], tuple[()]]:
        return Inert, ()


class ForwardCounter:
    """Counts forwards of one model, and calls of its points within each, while at least one point holds it.

    While it is held, one torch hook is on the model itself; otherwise none.

    :param noticed: called at the beginning of each forward.
    """

    def __init__(self, model: nn.Module, noticed: Callable[[], None] = lambda: None) -> None:
        self._model = weakref.ref(model)
        self._noticed = noticed
        self._counts = _Counts()
        self._holders = 0
        self._hook: RemovableHandle | None = None

    @property
    def model(self) -> nn.Module | None:
        """The model, as long as it lives."""
        return self._model()

    @property
    def forward(self) -> int:
        """The number of the forward that runs in this thread, or ran last, from 0 since the counter was first held; -1 before."""
        return self._counts.forward

    def calls_of(self, point: object) -> int:
        """Which call of ``point`` in this forward this is, from 0; -1 if it was not called."""
        return self._counts.calls.get(id(point), -1)

    def count(self, point: object) -> None:
        """Note one call of ``point``."""
        calls = self._counts.calls
        calls[id(point)] = calls.get(id(point), -1) + 1

    def hold(self) -> None:
        """Start counting, if this is the first holder."""
        model = self.model
        if not self._holders and model is not None:
            self._hook = model.register_forward_pre_hook(_Beginning(self._counts, self._noticed), prepend=True)
        self._holders += 1

    def let_go(self) -> None:
        """Stop counting, if this was the last holder."""
        self._holders -= 1
        if not self._holders and self._hook is not None:
            self._hook.remove()
            self._hook = None
