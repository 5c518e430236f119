"""The verbs that take hooks off a whole model."""

from __future__ import annotations

from typing import Literal

from hookframe.admission.events import HooksReset
from hookframe.admission.request import Route
from hookframe.core.admitting import model_name
from hookframe.core.named_model import NamedModel
from hookframe.core.removing import detach_all, review_removal

__all__ = ["ResettingVerbs"]


class ResettingVerbs(NamedModel):
    """``reset_hooks`` and its relatives."""

    def remove_all_hook_fns(
        self,
        direction: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove the hooks of every point that fit; ``level=None`` means any level.

        :raises HookDenied: if a plugin refuses to let protected hooks go; all stay.
        """
        self._remove(direction, including_permanent, level, "remove_all_hook_fns")

    def reset_hooks(
        self,
        clear_contexts: bool = True,
        direction: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove hooks as :meth:`remove_all_hook_fns` does, and empty the ``ctx`` of every point.

        :raises HookDenied: if a plugin refuses to let protected hooks go; nothing was changed.
        """
        self._remove(direction, including_permanent, level, "reset_hooks")
        if clear_contexts:
            self.clear_contexts()

    def _remove(self, direction: str, including_permanent: bool, level: int | None, route: Route) -> None:
        self.refresh()
        fitting = [a for point in self.hook_points() for a in point.fitting(direction, including_permanent, level)]
        controller = self.controller
        review_removal(fitting, self, controller, route)
        removed = len(detach_all(fitting))
        if controller.wants("hooks_reset"):
            event = HooksReset(
                model=model_name(self),
                route=route,
                removed=removed,
                including_permanent=including_permanent,
                direction=direction,
            )
            controller.notify(event)
