"""A context for one run of the model; and the short way through it.

Each function that is called and each object that is made takes about a microsecond right after a model has run and emptied
the processor's caches, and what a context does for everybody is a hundred of them. Where nobody but the controller has to
be asked, and nobody is told, an operation of a kind that was there before needs few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookframe.core.context import HookContext, Root
from hookframe.core.hook_point import attach_again
from hookframe.core.placing import levels
from hookframe.core.tracing import tracing

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.core.batch import Batch

__all__ = ["RunContext"]


class RunContext(HookContext[Root]):
    """What ``run_with_hooks`` and ``run_with_cache`` run the model in.

    :ivar output: what the model returned.
    """

    output: Any = None

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Enter, run the model, leave; return what it returned."""
        root = self.root
        controller = root.controller
        simple = self.reset and not self.clear and self.scope_name is None and not tracing.begun
        if simple and _admits_all(controller) and controller.default_scope == "all":
            batch = self._ready = self._take()
            if batch is None:
                self._ready = self._planned()
            elif not (batch.dressed or root.asks_about(batch)):
                batch.begin(None, counted=False, stays=False)
                if self._run_again(batch, controller, args, kwargs):
                    return self.output
        with self:
            return root.run_at_once(args, kwargs)

    def _run_again(
        self, batch: Batch, controller: AdmissionController, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bool:
        """The short way; False, with nothing done, if the controller objects after all."""
        root = self.root
        own = root.__dict__
        try:
            if not attach_again(batch, root=root, controller=controller):
                return False
            self._batch = self._whole = batch
            self.attachments = batch.attachments
            self._entered = True
            with levels:
                own["context_level"] += 1
                self._counted = True
            self._ran_before, own["_ran"] = own.get("_ran", False), False
            self.output = root.run_at_once(args, kwargs)
            gone, ran = self._leave()
        except BaseException as error:
            if self._entered:
                self.__exit__(type(error), error, error.__traceback__)
            else:  # an interrupt
                self._abandon(batch.attachments)
            raise
        if root.controller is not controller or not _admits_all(controller) or not self._went_well(batch):
            self._tell(gone, ran, None)
        self._give_back(batch)
        return True

    def _went_well(self, batch: Batch) -> bool:
        """True if there is nothing to be said: no function has failed, none is silent, and no value has changed."""
        sinks = self.sinks
        if (batch.owner is not None and batch.owner.failed) or not batch.has_fired(sinks):
            return False
        return not sinks or (sinks[0].lone and not sinks[0].stale())


def _admits_all(controller: AdmissionController) -> bool:
    """True if it says that it objects to nothing, and that nobody wants to be told of anything."""
    return getattr(controller, "admits_all", False)
