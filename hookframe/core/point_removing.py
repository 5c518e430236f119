"""Taking hooks off one point."""

from __future__ import annotations

from typing import Literal

from hookframe.core.handles import Attachment
from hookframe.core.point_reading import ReadablePoint
from hookframe.core.removing import detach_all, review_removal, tell_removed

__all__ = ["RemovablePoint"]


class RemovablePoint(ReadablePoint):
    """``remove_hooks``, and what a handle does."""

    def remove_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "fwd",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove the hooks that fit; ``level=None`` means any level.

        :raises HookDenied: if a plugin refuses to let go of permanent hooks or of those of an open context; all stay.
        """
        fitting = self.fitting(dir, including_permanent, level)
        root = self.owner
        controller = self.controller
        review_removal(fitting, root, controller, "remove_hooks")
        tell_removed(detach_all(fitting), root, controller, "remove_hooks")

    def release(self, attachment: Attachment) -> None:
        """Remove one hook by its handle, and tell observers."""
        root = self.owner
        tell_removed(detach_all([attachment]), root, self.controller, "handle")
