"""Lists the hooks of anything that has hook points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from hookframe.core.hooks.attachment import directions
from hookframe.core.model.names import select
from hookframe.errors import NotSetUp

if TYPE_CHECKING:
    from hookframe.core.hooks.attachment import HookHandle
    from hookframe.core.model.hook_point import HookPoint
    from hookframe.core.values.types import NamesFilter

__all__ = ["HookIntrospectionMixin"]


class HookIntrospectionMixin:
    """Adds :meth:`list_hooks` to a class with a ``hook_dict`` (attribute or property); keeps no state of its own."""

    def list_hooks(
        self,
        name_filter: NamesFilter = None,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
    ) -> dict[str, list[HookHandle]]:
        """Name → handles, forward before backward, for the points that have any.

        :raises NotSetUp: if there is no ``hook_dict``.
        :raises UnknownHookPoint: if the filter names a point that is not there, or is a glob that matches none.
        :raises InvalidDirection: for any other ``dir``.
        """
        points: Mapping[str, HookPoint] | None = getattr(self, "hook_dict", None)
        if points is None:
            raise NotSetUp(f"{type(self).__name__} has no hook_dict: call setup() first, or give the class one")
        wanted = directions(dir)
        found: dict[str, list[HookHandle]] = {}
        for name, point, _ in select(name_filter, points):
            handles = [*(point.fwd_hooks if "fwd" in wanted else ()), *(point.bwd_hooks if "bwd" in wanted else ())]
            found[name] = [handle for handle in handles if including_permanent or not handle.is_permanent]
        return {name: handles for name, handles in found.items() if handles}
