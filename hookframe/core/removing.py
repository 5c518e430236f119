"""Taking hooks off again: the review of what is protected, and the event that says what went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hookframe.admission.controller import AdmissionController
from hookframe.admission.events import HooksRemoved
from hookframe.admission.request import ResetRequest, Route
from hookframe.core.admitting import model_name, review_or_raise
from hookframe.core.handles import Attachment
from hookframe.core.placing import lock, take

if TYPE_CHECKING:
    from hookframe.core.batch import Batch
    from hookframe.core.named_model import NamedModel

__all__ = ["detach_all", "review_removal", "take_off", "tell_removed"]


def detach_all(attachments: Iterable[Attachment]) -> list[Attachment]:
    """Take attachments off their points; return those that were still there. Tells nobody."""
    return [attachment for attachment in attachments if attachment.point.detach(attachment)]


def take_off(batch: Batch) -> list[Attachment]:
    """Take a batch off its points; return those of its attachments that were still there. Tells nobody."""
    if batch.places is None:
        return detach_all(batch.attachments)
    with lock:
        others = take(batch.places)
    if not others:
        return batch.attachments
    left = {id(attachment) for attachment in others}.difference(map(id, detach_all(others)))
    return [attachment for attachment in batch.attachments if id(attachment) not in left]


def tell_removed(
    gone: Sequence[Attachment],
    root: NamedModel | None,
    controller: AdmissionController,
    route: Route,
    batch: Batch | None = None,
) -> None:
    """Tell observers that hooks are off, if any are.

    :param batch: the hooks as they were planned, if all of them are off.
    """
    if gone and controller.wants("hooks_removed"):
        points = tuple(attachment.label for attachment in gone) if batch is None else batch.labels
        controller.notify(HooksRemoved(model=model_name(root), route=route, points=points))


def review_removal(
    attachments: Sequence[Attachment],
    root: NamedModel | None,
    controller: AdmissionController,
    route: Route,
) -> None:
    """Ask before permanent hooks, or hooks of an open context, are removed by somebody else.

    :raises HookDenied: if the removal is refused; nothing was removed.
    """
    if not controller.wants("check_reset"):
        return
    protected = [a for a in attachments if a.permanent or a.owner is not None]
    if protected:
        permanent = sum(attachment.permanent for attachment in protected)
        request = ResetRequest(
            points=tuple(attachment.label for attachment in protected),
            permanent=permanent,
            owned=len(protected) - permanent,
            route=route,
        )
        review_or_raise(controller.review_reset(request, root))
