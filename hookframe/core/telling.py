"""What is said of an operation with temporary hooks: to observers, to those who may refuse its result, and to the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar

from hookframe.admission.events import ContextEntered, ContextExited, RunFinished
from hookframe.admission.request import Route, RunRequest
from hookframe.core.admitting import model_name, review_or_raise
from hookframe.core.cache_report import report_caches, tell_started
from hookframe.core.evidence import all_silent, counts, silent_hooks, warn_of_silence
from hookframe.core.failures import tell_failures
from hookframe.core.removing import tell_removed
from hookframe.core.unmanaged import unmanaged_modules

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.core.batch import Batch
    from hookframe.core.cache_sink import CacheSink
    from hookframe.core.handles import Attachment
    from hookframe.core.named_model import NamedModel

__all__ = ["Root", "TellingContext"]

Root = TypeVar("Root", bound="NamedModel")


class TellingContext(Generic[Root]):
    """An operation as far as it is told of.

    :ivar attachments: its hooks.
    :ivar skipped: point's name → why it was left out.
    :ivar sinks: what its caching hooks feed.
    :ivar reset: True if the hooks are taken off when it ends.
    """

    root: Root
    route: Route
    operation = 0
    level = 0
    attachments: Sequence[Attachment] = ()
    skipped: Mapping[str, str] = MappingProxyType({})
    sinks: Sequence[CacheSink] = ()
    reset: bool
    _batch: Batch | None = None
    _whole: Batch | None = None  # the batch, if all of it was attached

    def _tell_entered(self, controller: AdmissionController) -> None:
        tell_started(self.root, self.sinks, self.attachments, self.operation, self.route, self._whole)
        if controller.wants("context_entered"):
            event = ContextEntered(
                model=model_name(self.root),
                operation=self.operation,
                route=self.route,
                level=self.level,
                hooks=len(self.attachments),
            )
            controller.notify(event)

    def _tell(self, gone: Sequence[Attachment], ran: bool, error: BaseException | None) -> None:
        root, attachments, controller = self.root, self.attachments, self.root.controller
        wanted = controller.wanted
        if "hooks_removed" in wanted:
            whole = self._whole if len(gone) == len(attachments) else None
            tell_removed(gone, root, controller, self.route, whole)
        if self._batch is None or self._batch.owner is None or self._batch.owner.failed:
            tell_failures(root, attachments)
        if "context_exited" in wanted:
            event = ContextExited(
                model=model_name(root),
                operation=self.operation,
                route=self.route,
                level=self.level,
                removed=len(gone),
                error=None if error is None else type(error).__name__,
            )
            controller.notify(event)
        if ran:
            self._report_run(error, gone, controller)

    def _report_run(
        self, error: BaseException | None, gone: Sequence[Attachment], controller: AdmissionController
    ) -> None:
        attachments = self.attachments
        whole, wanted, cached = self._whole, controller.wanted, 0
        if self.sinks:
            cached = report_caches(
                self.root, controller, self.sinks, attachments, self.skipped, self.operation, error is None, whole
            )
        if "run_finished" in wanted:
            event = RunFinished(
                model=model_name(self.root),
                operation=self.operation,
                route=self.route,
                counts=counts(attachments) if whole is None else whole.counts(),
                bytes_cached=cached,
                error=None if error is None else type(error).__name__,
            )
            controller.notify(event)
        if error is None and ("check_run" in wanted or whole is None or not whole.has_fired(self.sinks)):
            exact = self._batch is not None and self._batch.exact
            backward_too = self.reset and self.route != "run_with_hooks"
            stayed = gone if self.reset else [a for a in attachments if a.run]  # others were removed by somebody
            silent = (silent_hooks if exact else all_silent)(stayed, backward_too=backward_too)
            if "check_run" in wanted:
                self._review_run(silent, cached, controller)
            if silent:
                warn_of_silence(self.root, silent, attachments)

    def _review_run(self, silent: Sequence[Attachment], cached: int, controller: AdmissionController) -> None:
        request = RunRequest(
            never_fired=tuple(dict.fromkeys(attachment.label for attachment in silent)),
            bytes_cached=cached,
            unmanaged=unmanaged_modules(self.root),
            route=self.route,
        )
        review_or_raise(controller.review_run(request, self.root))
