"""One operation with temporary hooks: enter attaches all of them or none, leave takes off exactly these."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from hookframe.admission.request import Route
from hookframe.core.activation_cache import ActivationCache
from hookframe.core.admitting import Admitted, next_operation
from hookframe.core.asking import Asked, ask, asked_to_cache, caching_kind, kind_of, specifications_of
from hookframe.core.batch import Batch
from hookframe.core.batch_pool import BatchPool
from hookframe.core.cache_report import sinks_of
from hookframe.core.cache_sink import CacheSink
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
    from hookframe.core.named_model import NamedModel
    from hookframe.core.planning import Nature
    from hookframe.core.selection import Selection
    from hookframe.core.two_way_caching import LateGuards
    from hookframe.core.types import HookSpecification

__all__ = ["HookContext", "give_back"]


class HookContext(TellingContext[Root]):
    """What ``model.hooks(...)`` returns: a context manager that yields the model.

    It can be entered again after it was left; contexts may be left in any order.
    """

    scope: Scope | None = None
    _kind: Hashable = None
    _pool: BatchPool | None = None
    _natures: Sequence[Nature] = ()
    specifications: tuple[tuple[Direction, list[HookSpecification]], ...] = ()
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
        asked: Sequence[Asked] = (),
    ) -> None:
        if scope not in ("all", "context", None):
            raise ValueError(f"scope={describe(scope)} is unknown: use 'all' or 'context'")
        self.root = root
        if selection is None and not asked:
            self.specifications = specifications_of(fwd_hooks, bwd_hooks)
        self._asked = asked  # what these mean; if somebody knows it already, they are not needed
        self.selection = selection  # the points of caching hooks that feed one sink; then there are no other hooks
        self.late = late
        self.reset = reset_hooks_end
        self.clear = clear_contexts
        self.route: Route = route
        self.scope_name = scope
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
        with lock:
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
        with lock:
            if self._counted:
                self._counted = False
                self.root.__dict__["context_level"] -= 1

    def _plan(self, controller: AdmissionController) -> Batch:
        batch = self._take() or self._planned()
        batch.begin(self.scope, counted="run_finished" in controller.wanted, stays=not self.reset)
        return batch

    def _take(self) -> Batch | None:
        """What was planned for an operation of the same kind that is over, with the functions of this one; None if nothing was."""
        self.operation = next_operation()
        own, selection = self.root.__dict__, self.selection
        self.level = own["context_level"] + 1
        tree: KeptPoints | None = own.get("_tree")
        self._pool = pool = tree.batches if tree is not None and tree.points is own["hook_dict"] else None
        scoped = self.scope is not None
        if selection is None:
            asked = self._asked = ask(self.root, self.specifications) if self.specifications else self._asked
            self.sinks = sinks_of(asked)
            self._kind, self._natures = kind_of(asked, self.route, self.level, scoped)
        else:
            asked = []
            self._kind = caching_kind(self.route, self.level, selection, scoped=scoped, gradients=self.late is not None)
        batch = None if pool is None else pool.take(self._kind)
        if batch is None:
            return None
        if selection is None:
            batch.arm(asked)
        else:
            batch.store_in(self.sinks[0], self.late)
        return batch

    def _planned(self) -> Batch:
        asked = self._asked if self.selection is None else asked_to_cache(self.selection, self.sinks[0], self.late)
        batch = Batch.plan(asked, self.route, level=self.level, scope=self.scope)
        tree: KeptPoints | None = self.root.__dict__.get("_tree")
        if tree is not None and tree.batches is self._pool:
            batch.keep(self._natures, self.root, tree)
        return batch

    def _give_back(self, batch: Batch | None) -> None:
        """Let the next operation of this kind have what was planned, if the hooks are off."""
        pool = self._pool
        self._batch = self._whole = self._pool = None
        if batch is None or pool is None or not self.reset:
            return
        self.attachments = ()
        give_back(self.root, pool, self._kind, batch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._entered:
            return
        attachments = self.attachments
        try:
            gone, ran = self._leave()
        except BaseException:  # an interrupt
            self._abandon(attachments if self.reset else ())
            raise
        self._tell(gone, ran, error)
        self._give_back(self._whole)

    def leave(self, batch: Batch, error: BaseException, *, counted: bool, ran_before: bool) -> None:
        """Leave as if this context had been entered with ``batch``, of which some may be attached."""
        self._adopt(batch, counted=counted)
        if not counted:  # it was being attached: nobody is told
            self._abandon(batch.attachments)
            return
        self._entered, self._ran_before = True, ran_before
        self.__exit__(type(error), error, error.__traceback__)

    def tell(self, batch: Batch, gone: Sequence[Attachment], ran: bool) -> None:
        """Tell as if this context, left by now, had been entered with ``batch``."""
        self._adopt(batch, counted=False)
        self._tell(gone, ran, None)

    def _adopt(self, batch: Batch, *, counted: bool) -> None:
        self.operation, self._counted = next_operation(), counted
        self.level = self.root.context_level + (not counted)
        self.attachments = batch.attachments
        self._batch = self._whole = batch

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

    def __repr__(self) -> str:
        return f"<{self.route} context on {type(self.root).__name__}, {len(self.attachments)} hooks>"


def give_back(root: NamedModel, pool: BatchPool, kind: Hashable, batch: Batch) -> None:
    """Let the next operation of this kind have ``batch``, unless something of it is still in use, or wrong."""
    tree: KeptPoints | None = root.__dict__.get("_tree")
    if tree is not None and tree.batches is pool and batch.rest():
        pool.give_back(kind, batch)
