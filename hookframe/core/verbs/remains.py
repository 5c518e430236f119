"""What remains of an operation with backward hooks after its context has ended, while autograd graphs may call these."""

from __future__ import annotations

import logging
import weakref
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from hookframe.admission.events import RunFinished
from hookframe.core.fast_path.batch_pool import BatchPool
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.registration.admission import model_name
from hookframe.core.registration.batch import Batch, counts
from hookframe.core.values.warn import UserLine
from hookframe.core.verbs.reports import tell_failures
from hookframe.core.verbs.silence import all_silent, silent_hooks, warn_of_silence

if TYPE_CHECKING:
    from hookframe.admission.request import Route
    from hookframe.core.model.named_model import NamedModel
    from hookframe.core.values.protocols import Point

__all__ = ["Remains"]

logger = logging.getLogger("hookframe")

_Again: TypeAlias = tuple[BatchPool[Batch], Hashable, Batch]
_NONE = -1


class Remains:
    """Calls the backward hooks of an operation whose context has ended, and reports on them.

    The graphs own it. What is fired after the end of the context, observers are told when the backward pass is over.
    """

    def __init__(
        self,
        root: NamedModel,
        gone: Sequence[Attachment],
        again: _Again | None,
        *,
        operation: int,
        route: Route,
        exact: bool,
        failed: bool,
    ) -> None:
        """Take over from a context on ``root``.

        :param gone: the hooks that were still attached when it ended.
        :param again: where the batch goes when the graphs are gone; None if it cannot be used again.
        :param exact: True if one of the points was asked for by its name.
        :param failed: True if an exception ended the context.
        """
        self.backward: Sequence[Attachment] = [attachment for attachment in gone if attachment.direction == "bwd"]
        self._root = weakref.ref(root)
        self._controller = root.controller
        self._operation, self._route = operation, route
        self._gone, self._exact, self._again = gone, exact, again
        self._line = None if failed else UserLine()
        self._tells = "run_finished" in self._controller.wanted
        self._told = Counter(counts(self.backward)) if self._tells else Counter()
        self._task = _NONE

    def fire(self, attachment: Attachment, point: Point, gradient: Any) -> Any:
        """Run one of the hooks; what goes on."""
        try:
            result = attachment.fire(point, gradient)
        except BaseException:
            tell_failures(self._root(), self.backward, self._controller)
            raise
        if self._tells:
            task = torch._C._current_graph_task_id()
            if task == _NONE:
                self._tell()
            elif task != self._task:
                self._task = task
                torch.autograd.Variable._execution_engine.queue_callback(self._tell)
        return result

    def _tell(self) -> None:
        """Tell observers what was fired since they were told last."""
        self._task = _NONE
        now = Counter(counts(self.backward))
        fired, self._told = now - self._told, now
        if fired:
            name = model_name(self._root())
            event = RunFinished(model=name, operation=self._operation, route=self._route, counts=dict(fired), late=True)
            self._controller.notify(event)

    def graphs_gone(self) -> None:
        """Report what never fired, and let the batch be used again.

        It is called wherever the last of the graphs goes: in any thread, and in the midst of anything. So it calls no plugin,
        takes no lock, and raises nothing. The warning points at the line where the context ended; where warnings are errors,
        nobody could catch it, and it is logged instead.
        """
        root = self._root()
        if self._line is not None:
            silent = (silent_hooks if self._exact else all_silent)(self._gone, backward_too=True)
            silent = [attachment for attachment in silent if attachment.direction == "bwd" and attachment.generation]
            warn_of_silence(root, silent, self._gone, self._warn)
        if self._again is not None and root is not None:
            pool, kind, batch = self._again
            tree = root.__dict__.get("_tree")
            if tree is not None and tree.batches is pool and batch.rest():
                pool.give_back(kind, batch)

    def _warn(self, message: str, category: type[Warning]) -> None:
        try:
            if self._line is not None:
                self._line.warn(message, category)
        except Exception as error:  # noqa: BLE001  # a filter may raise it as anything, and nobody is there to catch it
            logger.warning("%s", error)
