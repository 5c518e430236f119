"""Removes or reports hooks that an exception let through, once it has ended."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from hookframe.admission.request import FunctionInfo, HookRequest, Request
from hookframe.policy.files.rules import Exemption

__all__ = ["ExemptedHooks"]

logger = logging.getLogger("hookframe.policy")


@dataclass(frozen=True, slots=True)
class _Admitted:
    model: weakref.ref[Any]
    request: HookRequest
    exemption: Exemption
    removes: bool

    def handles(self, model: Any) -> Iterator[Any]:
        """The handles of this hook that are still on the model."""
        point = getattr(model, "hook_dict", {}).get(self.request.point)
        if point is not None:
            handles = point.fwd_hooks if self.request.direction == "fwd" else point.bwd_hooks
            yield from (h for h in handles if FunctionInfo.of(h.user_hook) == self.request.function)


class ExemptedHooks:
    """Remembers, weakly, which hooks were admitted under an exception, and ends them with it.

    An exception ends with its last day; the hooks end at the next question about their model: a hook, a
    cache, a device, a removal, or a run that is over.
    """

    def __init__(self) -> None:
        self._admitted: dict[tuple[int, str | None, str, FunctionInfo], _Admitted] = {}
        self._lock = threading.Lock()

    def remember(self, model: Any, request: Request, exemption: Exemption, *, removes: bool = False) -> None:
        """Note that a hook may be attached because of ``exemption``.

        :param removes: True if the rule wants it removed at the end, even if the exception does not ask for it.
        """
        if model is not None and isinstance(request, HookRequest):
            key = (id(model), request.point, request.direction, request.function)
            with self._lock:
                self._admitted[key] = _Admitted(weakref.ref(model), request, exemption, removes or exemption.removes)

    def end(self, model: Any, today: date) -> None:
        """Remove, or report, the hooks on ``model`` whose exception has ended."""
        if not self._admitted:
            return
        with self._lock:
            gone = {key: held for key, held in self._admitted.items() if held.model() is None}
            over = {k: h for k, h in self._admitted.items() if h.model() is model and today > h.exemption.until}
            for key in (*gone, *over):
                self._admitted.pop(key, None)
        for held in over.values():
            for handle in list(held.handles(model)):
                _end(handle, held)


def _end(handle: Any, held: _Admitted) -> None:
    exemption, what = held.exemption, held.request.subject
    if held.removes:
        handle.remove()
        logger.warning("removed the %s: exception %s, which let it through, has ended", what, exemption.name)
    else:
        logger.warning(
            "the %s is still attached, and exception %s, which let it through, has ended: remove it, or ask %s",
            what,
            exemption.name,
            exemption.owner,
        )
