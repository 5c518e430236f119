"""Telling observers of the functions that raised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hookframe.admission.events import HookFailed
from hookframe.admission.request import FunctionInfo
from hookframe.core.admitting import model_name
from hookframe.core.handles import Attachment

if TYPE_CHECKING:
    from hookframe.core.named_model import NamedModel

__all__ = ["tell_failures"]


def tell_failures(root: NamedModel, attachments: Sequence[Attachment]) -> None:
    """Tell observers of the functions that raised, each once."""
    controller = root.controller
    for attachment in attachments:
        error = attachment.error
        if error is None:
            continue
        attachment.error = None
        if controller.wants("hook_failed"):
            event = HookFailed(
                model=model_name(root),
                point=attachment.label,
                direction=attachment.direction,
                function=FunctionInfo.of(attachment.user_hook),
                error=type(error).__name__,
                message=str(error),
            )
            controller.notify(event)
