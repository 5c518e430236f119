"""One operation with temporary hooks: enter attaches all of them or none, leave takes off exactly these."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING

from hookframe.admission.request import Route
from hookframe.core.activation_cache import ActivationCache
from hookframe.core.admitting import next_operation
from hookframe.core.asking import ask, asked_to_cache, caching_kind, kind_of, specifications_of
from hookframe.core.batch import Batch
from hookframe.core.batch_pool import BatchPool
from hookframe.core.cache_report import sinks_of
from hookframe.core.cache_sink import CacheSink
from hookframe.core.caching_hooks import CachingAttachment
from hookframe.core.describing import describe
from hookframe.core.handles import Attachment
from hookframe.core.hook_point import attach
from hookframe.core.placing import lock, mirror
from hookframe.core.removing import detach_all, take_off
from hookframe.core.scope import Scope, ScopeName
from hookframe.core.telling import Root, TellingContext
from hookframe.core.tracing import tracing
from hookframe.errors import HookframeError

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.admission.request import Direction
    from hookframe.core.kept_points import KeptPoints
    from hookframe.core.planning import Nature
    from hookframe.core.selection import Selection
    from hookframe.core.two_way_caching import LateGuards
    from hookframe.core.types import HookSpecification

__all__ = ["HookContext"]

_has_fired = attrgetter("has_fired")


class HookContext(TellingContext[Root]):
    """What ``model.hooks(...)`` returns: a context manager that yields the model.

    It can be entered again after it was left; contexts may be left in any order. Right after a model has run, each function
    that is called takes about a microsecond: what nearly every operation needs stands in ``__enter__`` and ``__exit__``, and
    the rest is called where it is needed.
    """

    scope: Scope | None = None
    _kind: Hashable = None
    _pool: BatchPool | None = None
    _natures: Sequence[Nature] = ()
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
        late: LateGuards | None = None,
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
        except BaseException:  # an interrupt, perhaps: nobody would leave the context
            self._abandon(batch.attachments)
            raise
        return root

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the hooks off and close the level; then tell whoever listens, and the user, what there is to be said."""
        if not self._entered:
            return
        root, batch, attachments = self.root, self._whole, self.attachments
        own = root.__dict__
        try:
            gone = take_off(batch) if batch is not None and self.reset else self._detach(attachments)
            self._close_level()
            if self.clear:
                root.clear_contexts()
            ran = own["_ran"] or any(map(_has_fired, attachments)) or root.must_have_run(attachments)
            own["_ran"] = ran or self._ran_before
        except BaseException:  # an interrupt
            self._abandon(attachments if self.reset else ())
            raise
        controller = root.controller
        if error is not None or batch is None or controller.wanted or not self._went_well(batch):
            self._tell(gone, ran, error)
        pool = self._pool
        self._batch = self._whole = self._pool = None
        if batch is not None and pool is not None and self.reset:
            self.attachments = ()
            tree: KeptPoints | None = own.get("_tree")
            if tree is not None and tree.batches is pool and batch.rest():
                pool.give_back(self._kind, batch)

    def _went_well(self, batch: Batch) -> bool:
        """True if there is nothing to be said: no function has failed, none is silent, and no value has changed."""
        sinks = self.sinks
        if (batch.owner is not None and batch.owner.failed) or not batch.has_fired(sinks):
            return False
        return not sinks or (batch.caching and not sinks[0].stale() and not CachingAttachment.stale(batch.attachments))

    def _detach(self, attachments: Sequence[Attachment]) -> list[Attachment]:
        if self.reset:
            return detach_all(attachments)
        for attachment in attachments:
            attachment.terms.owner = None  # what stays is an ordinary hook from here on
        return []

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
        with lock:
            if self._counted:
                self._counted = False
                self.root.__dict__["context_level"] -= 1

    def _plan(self, controller: AdmissionController) -> Batch:
        """What was planned for an operation of the same kind that is over, with the functions of this one; else a new plan."""
        self.operation = next_operation()
        own, selection = self.root.__dict__, self.selection
        self.level = own["context_level"] + 1
        tree: KeptPoints | None = own.get("_tree")
        self._pool = pool = tree.batches if tree is not None and tree.points is own["hook_dict"] else None
        scoped = self.scope is not None
        if selection is None:
            asked = ask(self.root, self.specifications)
            self.sinks = sinks_of(asked)
            self._kind, self._natures = kind_of(asked, self.route, self.level, scoped)
        else:
            asked = []
            self._kind = caching_kind(self.route, self.level, selection, scoped=scoped, gradients=self.late is not None)
        batch = None if pool is None else pool.take(self._kind)
        if batch is None:
            if selection is not None:
                asked = asked_to_cache(selection, self.sinks[0], self.late)
            batch = Batch.plan(asked, self.route, level=self.level, scope=self.scope)
            tree = own.get("_tree")
            if tree is not None and tree.batches is pool:
                batch.keep(self._natures, self.root, tree)
        elif selection is None:
            batch.arm(asked)
        else:
            batch.store_in(self.sinks[0], self.late)
        batch.begin(self.scope, stays=not self.reset)
        return batch

    def __repr__(self) -> str:
        return f"<{self.route} context on {type(self.root).__name__}, {len(self.attachments)} hooks>"
