"""Forward hooks that run once more in a backward pass, as activation checkpointing has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch._C import _current_graph_task_id

from hookframe.admission.request import FunctionInfo
from hookframe.core.warning_place import warn_user
from hookframe.errors import HookRecomputedWarning

if TYPE_CHECKING:
    from hookframe.core.handles import Attachment

__all__ = ["look_for_recomputing"]

_NONE = -1


def look_for_recomputing(attachment: Attachment) -> None:
    """Warn, once, if ``attachment`` runs again because a backward pass computes its activation a second time.

    To be asked for functions that return nothing: one that returns a tensor has to run twice, and a cache may.
    """
    if attachment.recomputed or _current_graph_task_id() == _NONE:
        return
    attachment.recomputed = True
    warn_user(
        f"the fwd hook {FunctionInfo.of(attachment.user_hook)} at {attachment.label!r} ran again while a backward pass "
        "computed the activation a second time (activation checkpointing): what it counts or collects is there twice: "
        "keep what it sees by its name, as a cache does, or run without checkpointing",
        HookRecomputedWarning,
    )
