"""The verbs that attach hooks and leave them on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hookframe.admission.request import Direction
from hookframe.core.admitting import next_operation
from hookframe.core.handles import Attachment, HookHandle
from hookframe.core.hook_point import HookPoint, attach
from hookframe.core.named_model import NamedModel
from hookframe.core.names import Selected, select, unknown_point
from hookframe.core.planning import plan_attachments
from hookframe.errors import NotAHookPoint, UnknownHookPoint

if TYPE_CHECKING:
    from hookframe.core.types import HookFunction

__all__ = ["AddingVerbs"]


class AddingVerbs(NamedModel):
    """``add_hook`` and its relatives."""

    def add_hook(
        self,
        name: str | Callable[[str], bool],
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> HookHandle | list[HookHandle]:
        """Attach ``hook`` at the point called ``name``, or at every point whose name the glob matches or the predicate accepts.

        :returns: the handle; for a glob, a predicate or several names, the list of handles.
        :raises HookDenied: if the admission refuses; nothing was attached.
        :raises UnknownHookPoint: if no point has that name, or the glob matches none.
        """
        options = {"permanent": is_permanent, "level": level, "prepend": prepend}
        selection = self._look_up(name)
        attached = self._attach(selection, hook, dir, options)
        by_name = isinstance(name, str) and [selected.name for selected in selection] == [name]
        return attached[0].handle if by_name else [attachment.handle for attachment in attached]

    def add_perma_hook(
        self, name: str | Callable[[str], bool], hook: HookFunction, dir: Direction = "fwd"
    ) -> HookHandle | list[HookHandle]:
        """Attach a permanent hook; see :meth:`add_hook`."""
        return self.add_hook(name, hook, dir=dir, is_permanent=True)

    def check_and_add_hook(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> HookHandle:
        """Check, then attach ``hook`` at ``hook_point``, under the name that is given; see :meth:`add_hook`."""
        options = {"permanent": is_permanent, "level": level, "prepend": prepend}
        selection = [Selected(hook_point_name, hook_point, True)]
        return self._attach(selection, hook, dir, options)[0].handle

    def _look_up(self, name: str | Callable[[str], bool]) -> list[Selected]:
        modules = self.__dict__.get("mod_dict")
        if isinstance(name, str) and modules is not None and "hook_dict" not in self.__dict__:
            if name not in modules:
                raise unknown_point(name, modules)
            return select(name, {name: modules[name]})
        return self.select_points(name)

    def _attach(
        self,
        selection: list[Selected],
        hook: HookFunction,
        direction: Direction,
        options: dict[str, Any],
    ) -> list[Attachment]:
        planned = plan_attachments(selection, hook, direction=direction, **options)
        return attach(planned, root=self, route="add_hook", operation=next_operation()).attachments

    def _enable_hook_with_name(self, name: str, hook: HookFunction, dir: Direction) -> None:
        """Attach at one module's name, at the current context level, through the point's own ``add_hook``."""
        try:
            point: Any = self.mod_dict[name]
        except KeyError:
            raise UnknownHookPoint(f"the model has no module {name!r}: the names are the keys of mod_dict") from None
        if not callable(getattr(point, "add_hook", None)):
            raise NotAHookPoint(f"{name!r} is a {type(point).__name__}, not a hook point")
        point.add_hook(hook, dir=dir, level=self.context_level)

    def _enable_hooks_for_points(
        self,
        hook_points: Iterable[tuple[str, HookPoint]],
        enabled: Callable[[str], bool],
        hook: HookFunction,
        dir: Direction,
    ) -> None:
        """Attach at each of ``hook_points`` whose name ``enabled`` accepts; all of them, or none."""
        handles: list[HookHandle] = []
        try:
            for point in [point for name, point in hook_points if enabled(name)]:
                handles.append(point.add_hook(hook, dir=dir, level=self.context_level))  # noqa: PERF401  # one by one, to know which are on
        except BaseException:
            for handle in handles:
                handle.remove()
            raise

    def _enable_hook(self, name: str | Callable[[str], bool], hook: HookFunction, dir: Direction) -> None:
        """Attach by name or predicate, at the current context level, through the points' own ``add_hook``."""
        if isinstance(name, str):
            self._enable_hook_with_name(name=name, hook=hook, dir=dir)
        else:
            self._enable_hooks_for_points(hook_points=self.hook_dict.items(), enabled=name, hook=hook, dir=dir)
