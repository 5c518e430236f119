"""Who decides: the protocol that the core asks, and where a model without a controller of its own gets one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # every `import hookframe` comes here, and few need these
    from hookframe.admission.decision import Decision
    from hookframe.admission.events import Event
    from hookframe.admission.request import CacheRequest, DeviceRequest, HookRequest, ResetRequest, RunRequest

__all__ = ["AdmissionController", "ControllerSource", "ScopeName", "current_controller", "source"]

ScopeName: TypeAlias = Literal["all", "context"]
"""``"all"``: hooks fire in every thread and task that runs the model; ``"context"``: only in the one that entered."""


class AdmissionController(Protocol):
    """Reviews what is asked for, and is told what happened.

    The reviews are called before anything is touched, never while a model runs. An implementation must not raise in
    order to refuse: it returns a decision.

    :ivar default_scope: the scope of a context that is given none.
    """

    default_scope: ScopeName

    def review_hooks(self, requests: Sequence[HookRequest], model: Any) -> Decision:
        """Decide about one batch; ``model`` is None for a hook point that belongs to no model."""

    def review_cache(self, request: CacheRequest, model: Any) -> Decision:
        """Decide about what is about to be cached."""

    def review_device(self, request: DeviceRequest, model: Any) -> Decision:
        """Decide about a device that was chosen."""

    def review_reset(self, request: ResetRequest, model: Any) -> Decision:
        """Decide about a removal that touches protected hooks."""

    def review_run(self, request: RunRequest, model: Any) -> Decision:
        """Decide about an operation whose run of the model is over; a refusal keeps its result from the caller."""

    def wrap(self, request: HookRequest, hook: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function to attach in place of ``hook``: usually ``hook`` itself."""

    @property
    def wanted(self) -> Collection[str]:
        """The specs (without their prefix) that a plugin implements; for others, no value needs to be made."""

    def wants(self, spec: str) -> bool:
        """True if ``spec`` is among the :attr:`wanted`."""

    def notify(self, event: Event) -> None:
        """Tell observers what happened. Never raises."""


class ControllerSource:
    """Where the process's default controller comes from.

    The top of the package gives the provider; the first attachment calls it, once. :func:`hookframe.use_plugins` puts
    another controller in front of it for a while.
    """

    def __init__(self) -> None:
        self._provider: Callable[[], AdmissionController] | None = None
        self._govern: Callable[[Any], None] | None = None
        self._default: AdmissionController | None = None
        self._overrides: list[AdmissionController] = []
        self._lock = threading.RLock()

    def provide(self, provider: Callable[[], AdmissionController], govern: Callable[[Any], None] | None = None) -> None:
        """Say who makes the default controller. Does not call it; forgets a default that was made before.

        :param govern: called with every other controller before it is put in front of the default.
        """
        with self._lock:
            self._provider, self._govern, self._default = provider, govern, None

    def current(self) -> AdmissionController:
        """The controller in force: the innermost override, else the process's default."""
        overrides = self._overrides
        if overrides:
            return overrides[-1]
        return self._default or self._make_default()

    def _make_default(self) -> AdmissionController:
        with self._lock:
            if self._default is None:
                if self._provider is None:
                    raise RuntimeError("no admission controller is provided: import hookframe before its rooms")
                self._default = self._provider()
            return self._default

    def push(self, controller: AdmissionController) -> None:
        """Put ``controller`` in front, for the whole process; what governs the process governs it as well."""
        if self._govern is not None:
            self._govern(controller)
        with self._lock:
            self._overrides = [*self._overrides, controller]

    def drop(self, controller: AdmissionController) -> None:
        """Take the innermost ``controller`` away; others stay, whatever the order."""
        with self._lock:
            left = list(self._overrides)
            for place in range(len(left) - 1, -1, -1):
                if left[place] is controller:
                    del left[place]
                    break
            self._overrides = left


source = ControllerSource()


current_controller: Callable[[], AdmissionController] = source.current
"""The controller that decides for models without one of their own."""
