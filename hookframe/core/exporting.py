"""Hooks on a model while it is exported: what they do to tensors is baked in, and nothing else of them is."""

from __future__ import annotations

from collections.abc import Sequence

from hookframe.admission.request import FunctionInfo
from hookframe.core.handles import Attachment
from hookframe.core.warning_place import warn_user
from hookframe.errors import ExportError, HooksExportedWarning

__all__ = ["review_export"]


def review_export(attachments: Sequence[Attachment]) -> None:
    """Warn of each hook that is on a model while a program is made of it.

    :raises ExportError: if a caching hook is among them, which would store placeholders; the export ends.
    """
    if not attachments:
        return
    caching = [attachment.label for attachment in attachments if attachment.caches]
    if caching:
        raise ExportError(
            f"the model is exported while {len(caching)} caching hooks are attached, at {caching[0]!r} for one: they would "
            "store placeholders now, and nothing when the program runs; remove them first, and cache in the model itself"
        )
    backward = [a for a in attachments if a.direction == "bwd"]
    forward = [a for a in attachments if a.direction == "fwd"]
    parts = []
    if forward:
        parts.append(
            f"{len(forward)} hooks are attached ({_named(forward)}): what they do to tensors becomes a part of the program, "
            "for good; what else they do happens once, now"
        )
    if backward:
        parts.append(
            f"{len(backward)} backward hooks are attached ({_named(backward)}): they are no part of the program, and its "
            "gradients do not pass them"
        )
    text = f"the model is exported while {' and '.join(parts)}; remove them first if that is not meant"
    warn_user(text, HooksExportedWarning)


def _named(attachments: Sequence[Attachment]) -> str:
    more = f" and {len(attachments) - 3} more" if len(attachments) > 3 else ""
    return ", ".join(f"{FunctionInfo.of(a.user_hook)} at {a.label!r}" for a in attachments[:3]) + more
