"""The context with temporary hooks that every verb enters to run the model.

Entering plans a batch, or takes one from the pool, and has it admitted and attached. Leaving detaches it, reports, and gives
the batch back. Right after a forward the processor's caches are empty and each function call takes about a microsecond, so
what nearly every operation needs is written out in ``__enter__`` and ``__exit__``; only the rest is called.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import finalize, ref

from hookframe.admission.controller import ScopeName
from hookframe.admission.events import ContextEntered, ContextExited, RunFinished
from hookframe.admission.request import Route, RunRequest
from hookframe.core.cache.activation_cache import ActivationCache
from hookframe.core.cache.sink import CacheSink
from hookframe.core.fast_path.batch_pool import BatchPool
from hookframe.core.hooks.attachment import Attachment, Graphs
from hookframe.core.hooks.caching import CachingAttachment
from hookframe.core.hooks.steps import lock
from hookframe.core.registration.admission import model_name, next_operation, review_or_raise
from hookframe.core.registration.attach import abandon, attach, detach_all, take_off, tell_removed
from hookframe.core.registration.batch import Batch, counts
from hookframe.core.values.scope import Scope
from hookframe.core.values.text import describe
from hookframe.core.verbs.remains import Remains
from hookframe.core.verbs.reports import report_caches, tell_failures, tell_started, unmanaged_modules
from hookframe.core.verbs.silence import all_silent, silent_hooks, warn_of_silence
from hookframe.core.verbs.specification import ask, asked_to_cache, kind_of, sinks_of, specifications_of
from hookframe.errors import HookframeError

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.admission.request import Direction
    from hookframe.core.hooks.caching import DeferredGuards
    from hookframe.core.model.named_model import NamedModel
    from hookframe.core.model.names import Selection
    from hookframe.core.model.tree import PointIndex
    from hookframe.core.registration.planning import FunctionKind
    from hookframe.core.values.types import HookSpecification

__all__ = ["HookContext"]

Root = TypeVar("Root", bound="NamedModel")
_has_fired = attrgetter("has_fired")


class HookContext(Generic[Root]):
    """What ``model.hooks(...)`` returns: a context manager that yields the model.

    It can be entered again after it was left; contexts may be left in any order.

    :ivar operation: the number of the operation.
    :ivar level: how many contexts are open on the model, this one included.
    :ivar attachments: the hooks of the operation.
    :ivar skipped: point's name → why admission left it out.
    :ivar sinks: where its caching hooks store.
    :ivar reset: True if leaving removes the hooks.
    """

    operation = 0
    level = 0
    scope: Scope | None = None
    attachments: Sequence[Attachment] = ()
    skipped: Mapping[str, str] = MappingProxyType({})
    _kind: Hashable = None
    _pool: BatchPool[Batch] | None = None
    _function_kinds: Sequence[FunctionKind] = ()
    _batch: Batch | None = None
    _whole: Batch | None = None  # the batch, if all of it was attached
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
        selection: Selection | None = None,
        sinks: Sequence[CacheSink] = (),
        late: DeferredGuards | None = None,
        specifications: tuple[tuple[Direction, list[HookSpecification]], ...] | None = None,
        controller: AdmissionController | None = None,
    ) -> None:
        if scope not in ("all", "context", None):
            raise ValueError(f"scope={describe(scope)} is unknown: use 'all' or 'context'")
        self.root = root
        if selection is None:
            self.specifications = specifications or specifications_of(fwd_hooks, bwd_hooks)
        self.selection = selection  # the points of caching hooks that feed one sink; then there are no other hooks
        self.late = late
        self.reset = reset_hooks_end
        self.clear = clear_contexts
        self.route: Route = route
        self.scope_name = scope
        self.sinks = sinks
        self.controller = controller

    def __enter__(self) -> Root:
        """Plan, admit and attach; if anything raises, nothing is attached."""
        if self._entered:
            raise HookframeError(f"{self!r} is entered already: call {self.route}(...) again for another context")
        root = self.root
        controller = self.controller or root.controller
        own = root.__dict__
        self.scope = Scope() if (self.scope_name or controller.default_scope) == "context" else None
        batch = self._plan(controller)
        try:
            admitted = attach(batch, root=root, route=self.route, operation=self.operation, controller=controller)
            self._batch = batch
            self.attachments, self.skipped = admitted.attachments, admitted.skipped
            self._whole = batch if len(self.attachments) == len(batch.attachments) else None
            if self.skipped:
                for sink in self.sinks:
                    if isinstance(sink.cache, ActivationCache):
                        sink.cache.skipped.update(self.skipped)
            self._entered = True
            with lock:
                own["context_level"] += 1  # not setattr: torch's costs microseconds
                self._counted = True
            if self.scope is not None:
                self.scope.open()
            self._ran_before, own["_ran"] = own.get("_ran", False), False
            if controller.wanted:
                self._tell_entered(controller)
        except BaseException:  # an interrupt, perhaps: __exit__ would not be called
            self._abandon(batch.attachments)
            raise
        return root

    def _plan(self, controller: AdmissionController) -> Batch:
        """The batch of a finished operation of the same kind, with the functions of this one; else a new batch."""
        self.operation = next_operation()
        own, selection = self.root.__dict__, self.selection
        self.level = own["context_level"] + 1
        tree: PointIndex | None = own.get("_tree")
        self._pool = pool = tree.batches if tree is not None and tree.points is own["hook_dict"] else None
        scoped = self.scope is not None
        if selection is None:
            asked = ask(self.root, self.specifications)
            self.sinks = sinks_of(asked)
            self._kind, self._function_kinds = kind_of(asked, self.route, self.level, scoped, self.reset)
        else:
            asked = []
            self._kind = (self.route, self.level, scoped, self.reset, selection, self.late is not None)
        batch = None if pool is None else pool.take(self._kind)
        if batch is None:
            if selection is not None:
                asked = asked_to_cache(selection, self.sinks[0], self.late)
            batch = Batch.plan(asked, self.route, lasting=not self.reset, level=self.level, scope=self.scope)
            tree = own.get("_tree")
            if tree is not None and tree.batches is pool:
                batch.keep(self._function_kinds, self.root, shared=tree.are_shared(self.root))
        elif selection is None:
            batch.arm(asked)
        else:
            batch.store_in(self.sinks[0], self.late)
        batch.begin(self.scope)
        if batch.backward and self.late is None and batch.operation is not None:
            batch.operation.graphs = Graphs()
        return batch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Detach the hooks and close the level; then report to observers and the user."""
        if not self._entered:
            return
        root, batch, attachments = self.root, self._whole, self.attachments
        own = root.__dict__
        try:
            ends = self.late is not None
            gone = take_off(batch, ends) if batch is not None and self.reset else self._detach(attachments, ends)
            self._entered = False
            if self.scope is not None:
                self.scope.close()
            with lock:
                if self._counted:
                    self._counted = False
                    own["context_level"] -= 1
            if self.clear:
                root.clear_contexts()
            ran = own["_ran"] or any(map(_has_fired, attachments)) or root.must_have_run(attachments)
            own["_ran"] = ran or self._ran_before
        except BaseException:  # an interrupt
            self._abandon(attachments if self.reset else ())
            raise
        controller = root.controller
        own_batch = self._batch
        graphs = None  # nobody else may hold it any more, but it is to live until this is over
        if own_batch is not None and own_batch.backward and self.reset and not ends:
            graphs = self._leave_to_graphs(own_batch, gone, error)
        if error is not None or batch is None or controller.wanted or not self._went_well(batch):
            self._tell(gone, ran, error, in_graphs=graphs is not None)
        pool = self._pool
        self._batch = self._whole = self._pool = None
        if batch is not None and pool is not None and self.reset:
            self.attachments = ()
            tree: PointIndex | None = own.get("_tree")
            if graphs is None and tree is not None and tree.batches is pool and batch.rest():
                pool.give_back(self._kind, batch)

    def _went_well(self, batch: Batch) -> bool:
        """True if there is nothing to report: no function has failed, no hook is silent, and no value has changed."""
        sinks = self.sinks
        if (batch.operation is not None and batch.operation.failed) or not batch.has_fired(sinks):
            return False
        if not sinks:
            return True
        one = batch.caching and (not sinks[0].references or not sinks[0].stale())
        return one and not CachingAttachment.stale(batch.attachments)

    def _leave_to_graphs(self, batch: Batch, gone: Sequence[Attachment], error: BaseException | None) -> Graphs | None:
        """Let autograd graphs call the backward hooks from here on; None if there are no such graphs."""
        operation = batch.operation
        graphs = None if operation is None else operation.graphs
        if operation is None or graphs is None:
            return None
        held, operation.graphs = ref(graphs), None
        del graphs
        graphs = held()
        if graphs is not None:
            again = None if self._whole is None or self._pool is None else (self._pool, self._kind, batch)
            graphs.late = remains = Remains(
                self.root,
                gone,
                again,
                operation=self.operation,
                route=self.route,
                exact=batch.exact,
                failed=error is not None,
            )
            finalize(graphs, remains.graphs_gone).atexit = False
            self.root.leave_in_graphs(graphs)
        return graphs

    def _detach(self, attachments: Sequence[Attachment], ends: bool) -> list[Attachment]:
        if self.reset:
            return detach_all(attachments, ends)
        for attachment in attachments:
            attachment.options.operation = None  # what stays is an ordinary hook from now on
        return []

    # ---- reports ------------------------------------------------------------------------------------------------------

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

    def _tell(self, gone: Sequence[Attachment], ran: bool, error: BaseException | None, *, in_graphs: bool) -> None:
        root, attachments, controller = self.root, self.attachments, self.root.controller
        wanted = controller.wanted
        if "hooks_removed" in wanted:
            whole = self._whole if len(gone) == len(attachments) else None
            tell_removed(gone, root, controller, self.route, whole)
        if self._batch is None or self._batch.operation is None or self._batch.operation.failed:
            tell_failures(root, attachments, controller)
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
            self._report_run(error, gone, controller, in_graphs)

    def _report_run(
        self, error: BaseException | None, gone: Sequence[Attachment], controller: AdmissionController, in_graphs: bool
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
            backward_too = self.reset and not in_graphs
            stayed = gone if self.reset else [a for a in attachments if a.generation]  # the user removed the others
            silent = (silent_hooks if exact else all_silent)(stayed, backward_too=backward_too)
            if "check_run" in wanted:
                self._review_run(silent, cached, controller)
            if silent:
                warn_of_silence(self.root, silent, attachments)

    def _review_run(self, silent: Sequence[Attachment], cached: int, controller: AdmissionController) -> None:
        request = RunRequest(
            never_fired=tuple(dict.fromkeys(attachment.shown_name for attachment in silent)),
            bytes_cached=cached,
            unmanaged=unmanaged_modules(self.root),
            route=self.route,
        )
        review_or_raise(controller.review_run(request, self.root))

    # ---- interrupts ---------------------------------------------------------------------------------------------------

    def _abandon(self, attachments: Sequence[Attachment]) -> None:
        """Detach the hooks and close the level after an interrupt while entering or leaving. Tells no observer."""
        abandon(attachments, self._batch)
        self._batch = self._whole = self._pool = None  # an interrupted batch is never used again
        self._entered = False
        if self.scope is not None:
            self.scope.close()
        with lock:
            if self._counted:
                self._counted = False
                self.root.__dict__["context_level"] -= 1

    def __repr__(self) -> str:
        return f"<{self.route} context on {type(self.root).__name__}, {len(self.attachments)} hooks>"
