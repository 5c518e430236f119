"""The short way: an operation of a kind that was there before, where nobody but the controller is asked, and nobody told.

What happens is what happens in a :class:`~hookframe.core.context.HookContext`, which takes over as soon as anything is not as
nearly always. Right after a model has run and emptied the processor's caches, each function that is called takes about a
microsecond, and so does every object that is made; what a context does for everybody is a hundred of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from hookframe.core.context import HookContext, give_back
from hookframe.core.hook_point import attach_again
from hookframe.core.placing import lock
from hookframe.core.removing import take_off
from hookframe.core.tracing import tracing

if TYPE_CHECKING:
    from hookframe.admission.controller import AdmissionController
    from hookframe.admission.request import Route
    from hookframe.core.asking import Asked
    from hookframe.core.batch import Batch
    from hookframe.core.cache_sink import CacheSink
    from hookframe.core.kept_points import KeptPoints
    from hookframe.core.named_model import NamedModel

__all__ = ["asks_nobody", "run_again"]


def asks_nobody(controller: AdmissionController) -> bool:
    """True if ``controller`` says by an attribute of its own that it admits everything and nobody listens; and hooks are for all.

    A wrapper around a controller, which may have something to say, does not have that attribute of it.
    """
    own: dict[str, Any] = getattr(controller, "__dict__", {})
    return own.get("admits_all") is True and controller.default_scope == "all"


def run_again(
    root: NamedModel,
    controller: AdmissionController,
    route: Route,
    kind: Hashable,
    asked: Sequence[Asked],
    sinks: Sequence[CacheSink],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Any] | None:
    """Run the model with hooks that are taken off afterwards, for everybody who runs it meanwhile.

    :param controller: says that it admits everything.
    :param kind: what makes it like an operation before.
    :param asked: the functions; none if all there is are the caching hooks of one sink.
    :param sinks: that sink; none for functions.
    :returns: what the model returned, in a tuple; None, with nothing attached, if it is not so simple.
    """
    own = root.__dict__
    tree: KeptPoints | None = own.get("_tree")
    if tree is None or tree.points is not own["hook_dict"] or tracing.begun:
        return None
    pool = tree.batches
    batch = pool.take(kind)
    if batch is None:
        return None
    if batch.dressed or root.asks_about(batch):
        pool.give_back(kind, batch)
        return None
    if asked:
        batch.arm(asked)
    else:
        batch.store_in(sinks[0], None)
    batch.begin(None, counted=False, stays=False)
    before, counted, output = own.get("_ran", False), False, None
    try:
        simple = attach_again(batch, root=root, controller=controller)
        if simple:
            with lock:
                own["context_level"] += 1
                counted = True
            own["_ran"] = False
            output = root.run_at_once(args, kwargs)
            gone = take_off(batch)
            with lock:
                counted = False
                own["context_level"] -= 1
    except BaseException as error:  # the model's, or an interrupt
        _context(root, route, sinks).leave(batch, error, counted=counted, ran_before=before)
        if isinstance(error, Exception):
            give_back(root, pool, kind, batch)
        raise
    if simple:
        ran = own["_ran"] or any(map(_has_fired, batch.attachments)) or root.must_have_run(batch.attachments)
        own["_ran"] = ran or before
        alone = root.controller is controller and asks_nobody(controller)
        if not alone or not _went_well(batch, sinks):  # or somebody has come to listen
            _context(root, route, sinks).tell(batch, gone, ran)
    give_back(root, pool, kind, batch)
    return (output,) if simple else None


_has_fired = attrgetter("has_fired")


def _went_well(batch: Batch, sinks: Sequence[CacheSink]) -> bool:
    """True if there is nothing to be said: no function has failed, none is silent, and no value has changed."""
    if (batch.owner is not None and batch.owner.failed) or not batch.has_fired(sinks):
        return False
    return not sinks or (sinks[0].lone and not sinks[0].stale())


def _context(root: NamedModel, route: Route, sinks: Sequence[CacheSink]) -> HookContext[NamedModel]:
    return HookContext(root, (), (), reset_hooks_end=True, clear_contexts=False, route=route, sinks=sinks)
