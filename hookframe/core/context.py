"""One operation with temporary hooks: enter attaches all of them or none, leave takes off exactly these."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from hookframe.admission.events import ContextEntered, ContextExited, RunFinished
from hookframe.admission.request import Route, RunRequest
from hookframe.core.activation_cache import ActivationCache
from hookframe.core.admitting import Admitted, model_name, next_operation, review_or_raise
from hookframe.core.batch import Asked, Batch, kind_of
from hookframe.core.batch_pool import BatchPool
from hookframe.core.cache_report import report_caches, sinks_of, tell_started
from hookframe.core.cache_sink import CacheSink
from hookframe.core.describing import describe
from hookframe.core.evidence import all_silent, counts, silent_hooks, warn_of_silence
from hookframe.core.failures import tell_failures
from hookframe.core.handles import Attachment
from hookframe.core.hook_point import attach, take_off
from hookframe.core.placing import mirror
from hookframe.core.planning import nature_of
from hookframe.core.removing import detach_all, tell_removed
from hookframe.core.scope import Scope, ScopeName
from hookframe.core.tracing import tracing
from hookframe.core.unmanaged import unmanaged_modules
from hookframe.errors import HookframeError, InvalidHookFunction

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.admission.request import Direction
    from hookframe.core.kept_points import KeptPoints
    from hookframe.core.named_model import NamedModel
    from hookframe.core.types import HookSpecification

__all__ = ["HookContext"]

Root = TypeVar("Root", bound="NamedModel")

_levels = threading.Lock()  # held while a count of open contexts changes: threads enter contexts on one model


class HookContext(Generic[Root]):
    """What ``model.hooks(...)`` returns: a context manager that yields the model.

    It can be entered again after it was left; contexts may be left in any order.
    """

    scope: Scope | None = None
    operation = 0
    level = 0
    _batch: Batch | None = None
    _whole: Batch | None = None  # the batch, if all of it was attached
    _kind: Hashable = None
    _pool: BatchPool | None = None
    _entered = False
    _counted = False
    _ran_before = False

    def __init__(
        self,
        root: Root,
        fwd_hooks: Iterable[HookSpecification],
        bwd_hooks: Iterable[HookSpecification],
        *,
        reset_hooks_end: bool,
        clear_contexts: bool,
        route: Route,
        scope: ScopeName | None = None,
        known: Sequence[Asked] = (),
        sinks: Sequence[CacheSink] = (),
    ) -> None:
        if scope not in ("all", "context", None):
            raise ValueError(f"scope={describe(scope)} is unknown: use 'all' or 'context'")
        self.root = root
        self.specifications: tuple[tuple[Direction, list[HookSpecification]], ...] = ()
        if not known:
            self.specifications = (
                ("fwd", _listed(fwd_hooks, "fwd_hooks")),
                ("bwd", _listed(bwd_hooks, "bwd_hooks")),
            )
        self.known = known  # caching hooks whose points are known already; then there are no others
        self.reset = reset_hooks_end
        self.clear = clear_contexts
        self.route: Route = route
        self.scope_name = scope
        self.attachments: list[Attachment] = []
        self.skipped: dict[str, str] = {}
        self.sinks = sinks

    def __enter__(self) -> Root:
        if self._entered:
            raise HookframeError(f"{self!r} is entered already: call {self.route}(...) again for another context")
        root = self.root
        controller = root.controller
        self.scope = Scope() if (self.scope_name or controller.default_scope) == "context" else None
        batch = self._plan(controller)
        try:
            self._enter(batch, controller)
        except BaseException:  # an interrupt, perhaps: nobody would leave the context
            self._abandon(batch.attachments)
            raise
        return root

    def _enter(self, batch: Batch, controller: AdmissionController) -> None:
        root = self.root
        admitted: Admitted = attach(batch, root=root, route=self.route, operation=self.operation, controller=controller)
        self._batch = batch
        self.attachments, self.skipped = admitted.attachments, admitted.skipped
        self._whole = batch if len(self.attachments) == len(batch.attachments) else None
        if self.skipped:
            for sink in self.sinks:
                if isinstance(sink.cache, ActivationCache):
                    sink.cache.skipped.update(self.skipped)
        self._entered = True
        with _levels:
            root.__dict__["context_level"] += 1  # not setattr: torch's costs microseconds
            self._counted = True
        if self.scope is not None:
            self.scope.open()
        self._ran_before, root.__dict__["_ran"] = root.__dict__.get("_ran", False), False
        if controller.wanted:
            self._tell_entered(controller)

    def _abandon(self, attachments: Sequence[Attachment]) -> None:
        """After an interrupt in the midst of entering or leaving: see to it that hooks and level are gone; tell nobody."""
        detach_all(attachments)
        if tracing.begun and self._batch is not None and self._batch.places is not None:
            mirror(self._batch.places)  # what the compiler sees may be what was there before
        self._batch = self._whole = self._pool = None  # never to be used again
        self._close_level()

    def _close_level(self) -> None:
        self._entered = False
        if self.scope is not None:
            self.scope.close()
        with _levels:
            if self._counted:
                self._counted = False
                self.root.__dict__["context_level"] -= 1

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

    def _plan(self, controller: AdmissionController) -> Batch:
        """Plan what is asked for; if an operation of the same kind is over, with what was planned for that."""
        self.operation = next_operation()
        own = self.root.__dict__
        self.level = own["context_level"] + 1
        asked = self.known or self._asked()
        tree: KeptPoints | None = own.get("_tree")
        if tree is None or tree.points is not own["hook_dict"]:
            return Batch.plan(asked, self.route, level=self.level, scope=self.scope)
        if self.known:
            self._kind = (self.route, self.level, self.scope is None, self.known[0].selection, len(self.known))
            natures = None
        else:
            self._kind, natures = kind_of(asked, self.route, self.level, self.scope is not None)
        self._pool = tree.batches
        batch = self._pool.take(self._kind)
        if batch is None:
            batch = Batch.plan(asked, self.route, level=self.level, scope=self.scope)
            batch.keep(natures or [nature_of(one.function) for one in asked], self.root, tree)
        batch.arm(asked, self.scope, counted="run_finished" in controller.wanted, stays=not self.reset)
        return batch

    def _asked(self) -> Sequence[Asked]:
        hooks = [(d, names, hook) for d, specifications in self.specifications for names, hook in specifications]
        meant = self.root.selections([names for _, names, _ in hooks])
        self.sinks = sinks_of([hook for _, _, hook in hooks])
        return [Asked(d, selection, hook) for (d, _, hook), selection in zip(hooks, meant, strict=True)]

    def _give_back(self) -> None:
        """Let the next operation of this kind have what was planned, unless something of it is still in use, or wrong."""
        batch, pool = self._whole, self._pool
        self._batch = self._whole = self._pool = None
        if batch is None or pool is None or not self.reset:
            return
        self.attachments = []
        tree = self.root.__dict__.get("_tree")
        if tree is not None and tree.batches is pool and batch.rest():
            pool.give_back(self._kind, batch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._entered:
            return
        root, attachments = self.root, self.attachments
        try:
            gone, ran = self._leave()
        except BaseException:  # an interrupt
            self._abandon(attachments if self.reset else ())
            raise
        controller = root.controller
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
                error=None if kind is None else kind.__name__,
            )
            controller.notify(event)
        if ran:
            self._report_run(error, gone, controller)
        self._give_back()

    def _leave(self) -> tuple[list[Attachment], bool]:
        """Take the hooks off and close the level, before anybody is told; says which went, and if the model ran."""
        root, attachments, batch = self.root, self.attachments, self._batch
        gone: list[Attachment] = []
        if not self.reset:
            for attachment in attachments:
                attachment.terms.owner = None  # what stays is an ordinary hook from here on
        elif batch is not None and batch is self._whole:
            gone = take_off(batch)
        else:
            gone = detach_all(attachments)
        self._close_level()
        if self.clear:
            root.clear_contexts()
        ran = root.__dict__["_ran"] or any(a.has_fired for a in attachments) or root.must_have_run(attachments)
        root.__dict__["_ran"] = ran or self._ran_before
        return gone, ran

    def _report_run(
        self, error: BaseException | None, gone: Sequence[Attachment], controller: AdmissionController
    ) -> None:
        attachments = self.attachments
        whole, wanted, cached = self._whole, controller.wanted, 0
        if self.sinks:
            cached = report_caches(
                self.root, self.sinks, attachments, self.skipped, self.operation, error is None, whole
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
        if error is None:
            exact = self._batch is not None and self._batch.exact
            if not exact and attachments and attachments[0].has_fired and "check_run" not in wanted:
                return  # nothing is silent: one of those that a filter chose has fired
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

    def __repr__(self) -> str:
        return f"<{self.route} context on {type(self.root).__name__}, {len(self.attachments)} hooks>"


def _listed(hooks: Iterable[HookSpecification], what: str) -> list[HookSpecification]:
    listed = list(hooks)
    for item in listed:
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise InvalidHookFunction(
                f"{what} holds {describe(item)}: each item is a pair of a name (or a predicate on names) and a function"
            )
    return listed
