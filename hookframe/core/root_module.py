"""The root of a model with hook points: the verbs that add, run with and remove hooks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from torch import nn
from torch.compiler import is_dynamo_compiling

from hookframe.admission.controller import AdmissionController, current_controller
from hookframe.admission.events import HooksReset
from hookframe.admission.request import Direction, Route
from hookframe.core.admitting import model_name, next_operation
from hookframe.core.caching import CachingVerbs
from hookframe.core.context import HookContext, tell_failures
from hookframe.core.devices import AdmittedMoves
from hookframe.core.handles import Attachment, HookHandle
from hookframe.core.hook_point import HookPoint, attach
from hookframe.core.introspection import HookIntrospectionMixin
from hookframe.core.names import Selected, select
from hookframe.core.planning import plan_attachment
from hookframe.core.removing import detach_all, review_removal
from hookframe.core.tree import ModuleTree
from hookframe.errors import NotAHookPoint, NotSetUp, UnknownHookPoint

if TYPE_CHECKING:
    from hookframe.core.types import HookFunction, HookSpecification, NamesFilter

__all__ = ["HookedRootModule"]

logger = logging.getLogger("hookframe")

_FEW = 16  # up to so many names are looked up one by one instead of comparing the whole tree


class HookedRootModule(HookIntrospectionMixin, CachingVerbs, AdmittedMoves):
    """A model with hook points. Subclasses call :meth:`setup` at the end of their ``__init__``.

    :ivar mod_dict: dotted name → module, for every module but the root.
    :ivar hook_dict: dotted name → hook point.
    :ivar context_level: how many ``hooks(...)`` contexts are open.
    :ivar admission_controller: who decides about hooks on this model; None for the process's own, which loads the
        installed plugins. It is not copied or pickled with the model.
    """

    mod_dict: dict[str, nn.Module]
    hook_dict: dict[str, HookPoint]
    context_level: int
    admission_controller: AdmissionController | None

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self.context_level = 0
        self.admission_controller = None

    @property
    def controller(self) -> AdmissionController:
        """Who decides about hooks on this model now."""
        return self.admission_controller or current_controller()

    @property
    def is_caching(self) -> bool:
        """True while a caching hook is attached to one of this model's points."""
        points = self.__dict__.get("hook_dict", {}).values()
        return any(
            a.caches for point in points if isinstance(point, HookPoint) for a in point.fitting("both", True, None)
        )

    # ---- names --------------------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Name every module below this one, and fill ``mod_dict`` and ``hook_dict``. Can be called again."""
        tree = ModuleTree.read(self)
        tree.give_names()
        self.__dict__.update(_tree=tree, mod_dict=tree.modules, hook_dict=tree.points)
        for point in self.hook_points():
            point.belong_to(self)
        self._admit_carried()

    def hook_points(self) -> Iterable[HookPoint]:
        """Every hook point once, in the model's order."""
        return list({id(point): point for point in self._points().values()}.values())

    def name_of(self, point: HookPoint) -> str | None:
        """The name of ``point`` in this model; None if it is not there."""
        tree: ModuleTree | None = self.__dict__.get("_tree")
        return None if tree is None else tree.names.get(id(point))

    def _points(self) -> dict[str, HookPoint]:
        try:
            return self.__dict__["hook_dict"]  # type: ignore[no-any-return]  # an instance's dict is untyped
        except KeyError:
            raise NotSetUp(
                f"{type(self).__name__} has no hook points yet: call self.setup() at the end of its __init__"
            ) from None

    def select_points(self, names_filter: NamesFilter) -> list[Selected]:
        """The hook points that ``names_filter`` means, in the model's order.

        A module that was added, replaced or deleted since ``setup()`` is noticed here, and the tree read again.

        :raises UnknownHookPoint: if a name is not there.
        :raises NotAHookPoint: if a name is another kind of module's.
        :raises NotSetUp: if ``setup()`` was never called.
        """
        points = self._points()
        tree: ModuleTree | None = self.__dict__.get("_tree")
        if tree is not None and tree.points is points and not self._is_current(tree, names_filter):
            self._read_again()
            points = self._points()
        return select(names_filter, points, self.__dict__.get("mod_dict"))

    def _is_current(self, tree: ModuleTree, names_filter: NamesFilter) -> bool:
        if isinstance(names_filter, str):
            return tree.still_has(self, names_filter)
        if isinstance(names_filter, Sequence) and len(names_filter) <= _FEW:
            return all(isinstance(name, str) and tree.still_has(self, name) for name in names_filter)
        return tree.is_current()

    def _read_again(self) -> None:
        HookedRootModule.setup(self)

    # ---- checking -----------------------------------------------------------------------------------------------

    def check_hooks_to_add(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        prepend: bool = False,
    ) -> None:
        """Override this to refuse hooks, by raising. It is asked on every route, before anything is attached.

        What it raises reaches the caller as it is, if the point was asked for by name; a point that a filter swept up
        is left out instead.
        """

    def ask_own_check(self, attachment: Attachment, name: str) -> None:
        """Ask :meth:`check_hooks_to_add` about one planned attachment, if a subclass has an opinion."""
        check = self.check_hooks_to_add
        if getattr(check, "__func__", None) is not HookedRootModule.check_hooks_to_add:
            handle = attachment.handle
            check(
                attachment.point,
                name,
                attachment.user_hook,
                dir=attachment.direction,
                is_permanent=handle.is_permanent,
                prepend=attachment.prepend,
            )

    # ---- adding -------------------------------------------------------------------------------------------------

    def add_hook(
        self,
        name: str | Callable[[str], bool],
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> HookHandle | list[HookHandle]:
        """Attach ``hook`` at the point called ``name``, or at every point whose name the predicate accepts.

        :returns: the handle; for a predicate or several names, the list of handles.
        :raises HookDenied: if the admission refuses; nothing was attached.
        :raises UnknownHookPoint: if no point has that name.
        """
        options = {"permanent": is_permanent, "level": level, "prepend": prepend}
        selection = self._look_up(name)
        attached = self._attach(selection, hook, dir, options, "add_hook")
        return attached[0].handle if isinstance(name, str) else [attachment.handle for attachment in attached]

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
        return self._attach(selection, hook, dir, options, "add_hook")[0].handle

    def _look_up(self, name: str | Callable[[str], bool]) -> list[Selected]:
        modules = self.__dict__.get("mod_dict")
        if isinstance(name, str) and modules is not None and "hook_dict" not in self.__dict__:
            return select(name, {name: modules[name]} if name in modules else modules)
        return self.select_points(name)

    def _attach(
        self,
        selection: list[Selected],
        hook: HookFunction,
        direction: Direction,
        options: dict[str, Any],
        route: Route,
    ) -> list[Attachment]:
        planned = [
            plan_attachment(point, hook, direction=direction, name=name, exact=exact, **options)
            for name, point, exact in selection
        ]
        return attach(planned, root=self, route=route, operation=next_operation()).attachments

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
        """Attach at each of ``hook_points`` whose name ``enabled`` accepts; the predicate is asked about all first."""
        for point in [point for name, point in hook_points if enabled(name)]:
            point.add_hook(hook, dir=dir, level=self.context_level)

    def _enable_hook(self, name: str | Callable[[str], bool], hook: HookFunction, dir: Direction) -> None:
        """Attach by name or predicate, at the current context level, through the points' own ``add_hook``."""
        if isinstance(name, str):
            self._enable_hook_with_name(name=name, hook=hook, dir=dir)
        else:
            self._enable_hooks_for_points(hook_points=self.hook_dict.items(), enabled=name, hook=hook, dir=dir)

    # ---- running ------------------------------------------------------------------------------------------------

    def hooks(
        self,
        fwd_hooks: Iterable[HookSpecification] = (),
        bwd_hooks: Iterable[HookSpecification] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> HookContext[Self]:
        """A context manager with temporary hooks; it yields the model.

        :param fwd_hooks: pairs of a name, or a predicate on names, and a function.
        :param bwd_hooks: the same for gradients; they listen to the forwards run inside.
        :param reset_hooks_end: remove these hooks, and no others, on the way out, also after an exception.
        :param clear_contexts: empty the ``ctx`` of every point on the way out.
        :raises HookDenied: on entering, if the admission refuses; nothing was attached.
        :raises NotSetUp: on entering, if ``setup()`` was never called.
        """
        return HookContext(
            self, fwd_hooks, bwd_hooks, reset_hooks_end=reset_hooks_end, clear_contexts=clear_contexts, route="hooks"
        )

    def run_with_hooks(
        self,
        *model_args: Any,
        fwd_hooks: Iterable[HookSpecification] = (),
        bwd_hooks: Iterable[HookSpecification] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        **model_kwargs: Any,
    ) -> Any:
        """Run the model with temporary hooks and return its output; the parameters are those of :meth:`hooks`.

        :raises HookDenied: if the admission refuses; the model was not run.
        """
        context = HookContext(
            self,
            fwd_hooks,
            bwd_hooks,
            reset_hooks_end=reset_hooks_end,
            clear_contexts=clear_contexts,
            route="run_with_hooks",
        )
        if reset_hooks_end and context.specifications[1][1]:
            logger.warning(
                "run_with_hooks removes the backward hooks at its end, before a backward pass outside can reach them: "
                "pass reset_hooks_end=False, or call backward() inside 'with model.hooks(...)'"
            )
        with context:
            return self(*model_args, **model_kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model, as any torch module."""
        self.__dict__["_ran"] = True
        if is_dynamo_compiling():
            return super().__call__(*args, **kwargs)
        try:
            return super().__call__(*args, **kwargs)
        except BaseException:
            if "hook_dict" in self.__dict__ and self.controller.wants("hook_failed"):
                tell_failures(self, [a for point in self.hook_points() for a in point.fitting("both", True, None)])
            raise

    # ---- removing -----------------------------------------------------------------------------------------------

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
        fitting = [a for point in self.hook_points() for a in point.fitting(direction, including_permanent, level)]
        controller = self.controller
        review_removal(fitting, self, controller, route)
        removed = detach_all(fitting, None, None, route)
        if controller.wants("hooks_reset"):
            event = HooksReset(
                model=model_name(self),
                route=route,
                removed=removed,
                including_permanent=including_permanent,
                direction=direction,
            )
            controller.notify(event)

    def clear_contexts(self) -> None:
        """Give every point a fresh, empty ``ctx``."""
        for point in self.hook_points():
            point.clear_context()

    # ---- copies -------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for key in ("_tree", "_ran"):
            state.pop(key, None)
        return state | {"admission_controller": None, "context_level": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch
        if "hook_dict" in state:
            HookedRootModule.setup(self)

    def _admit_carried(self) -> None:
        """Attach the hooks that came along with a copy or a pickle of this model, after admission."""
        carried = [a for point in self.hook_points() for a in point.take_carried()]
        if carried:
            attach(carried, root=self, route="copy", operation=next_operation())
