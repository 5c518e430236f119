"""The one door: attaching a batch after its admission, and detaching.

Everything that attaches a hook calls :func:`attach`. A point changes what it runs in ``HookPoint.add_attachment`` and
``HookPoint.detach``, which are called from here only, and in the loops of ``fast_path.batch_pool``, which may leave out any
attachment. Lock order: ``hooks.steps.lock`` is the only lock that is held here, and no plugin is called while it is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hookframe.admission.controller import AdmissionController, current_controller
from hookframe.admission.events import HooksAdded, HooksRemoved
from hookframe.admission.request import ResetRequest, Route
from hookframe.core.fast_path.batch_pool import put, take
from hookframe.core.hooks.attachment import Attachment
from hookframe.core.hooks.steps import lock
from hookframe.core.registration.admission import admit, model_name, review_or_raise, wrap
from hookframe.core.registration.batch import Admitted, Batch
from hookframe.core.torch_compat.dynamo import tracing

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Model

__all__ = ["abandon", "attach", "detach_all", "review_removal", "take_off", "tell_removed"]


def attach(
    batch: Batch | Sequence[Attachment],
    *,
    root: Model | None,
    route: Route,
    operation: int,
    controller: AdmissionController | None = None,
) -> Admitted:
    """Admit a batch, then attach all of it: the one door.

    :param controller: who decides, if the caller has looked it up already.
    :returns: what was attached, and what admission left out.
    :raises HookDenied: if the batch is refused; nothing was attached.
    :raises BaseException: whatever stops it half-way; what was attached so far is detached.
    """
    if not isinstance(batch, Batch):
        batch = Batch((batch,), route)
    if controller is None:
        controller = current_controller() if root is None else root.controller
    admitted = admit(batch, root=root, controller=controller, route=route)
    attachments, wanted = admitted.attachments, controller.wanted
    if batch.wrapped_by_options or "wrap_hook" in wanted:
        wrap(admitted, batch, controller, wanted)
    try:
        with lock:
            bulk = batch.bulk if len(attachments) == len(batch.attachments) else None
            for attachment in attachments if bulk is None else put(bulk):
                attachment.point.add_attachment(attachment)
        if "hooks_added" in wanted and attachments:
            event = HooksAdded(
                model=model_name(root),
                operation=operation,
                route=route,
                requests=admitted.requests,
                skipped=tuple(admitted.skipped),
            )
            controller.notify(event)
    except BaseException:
        detach_all(attachments)
        raise
    return admitted


def detach_all(attachments: Iterable[Attachment], ends: bool = True) -> list[Attachment]:
    """Take attachments off their points; return those that were still there. Tells no observer.

    :param ends: False if the graphs of earlier forwards go on calling the backward hooks.
    """
    return [attachment for attachment in attachments if attachment.point.detach(attachment, ends)]


def take_off(batch: Batch, ends: bool = True) -> list[Attachment]:
    """Take a batch off its points; return those of its attachments that were still there. Tells no observer."""
    if batch.bulk is None:
        return detach_all(batch.attachments, ends)
    with lock:
        others = take(batch.bulk, ends)
    if not others:
        return batch.attachments
    left = {id(attachment) for attachment in others}.difference(map(id, detach_all(others, ends)))
    return [attachment for attachment in batch.attachments if id(attachment) not in left]


def abandon(attachments: Iterable[Attachment], batch: Batch | None) -> None:
    """Take attachments off after an interrupt, wherever that came. Tells no observer.

    :param batch: the batch that they are, or were, a part of.
    """
    detach_all(attachments)
    if tracing.begun and batch is not None and batch.bulk is not None:
        batch.bulk.mirror()  # the interrupt may have come before the mirror was written


def tell_removed(
    gone: Sequence[Attachment],
    root: Model | None,
    controller: AdmissionController,
    route: Route,
    batch: Batch | None = None,
) -> None:
    """Tell observers that hooks were removed, if any were.

    :param batch: the hooks as they were planned, if all of them were removed.
    """
    if gone and controller.wants("hooks_removed"):
        points = tuple(attachment.shown_name for attachment in gone) if batch is None else batch.shown_names
        controller.notify(HooksRemoved(model=model_name(root), route=route, points=points))


def review_removal(
    attachments: Sequence[Attachment], root: Model | None, controller: AdmissionController, route: Route
) -> None:
    """Ask before a removal takes permanent hooks, or hooks of an open context.

    :raises HookDenied: if the removal is refused; nothing was removed.
    """
    if not controller.wants("check_reset"):
        return
    protected = [a for a in attachments if a.permanent or a.operation is not None]
    if protected:
        permanent = sum(attachment.permanent for attachment in protected)
        request = ResetRequest(
            points=tuple(attachment.shown_name for attachment in protected),
            permanent=permanent,
            owned=len(protected) - permanent,
            route=route,
        )
        review_or_raise(controller.review_reset(request, root))
