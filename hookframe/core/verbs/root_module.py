"""The root of a model with hook points: the verbs that users call."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import Any, Literal, Self

import torch
from torch import nn
from torch.compiler import is_dynamo_compiling, is_exporting
from torch.jit import is_tracing  # type: ignore[attr-defined]  # torch does not list it

from hookframe.admission.controller import ScopeName
from hookframe.admission.events import HooksReset
from hookframe.admission.request import Direction, Route
from hookframe.core.cache.activation_cache import ActivationCache
from hookframe.core.cache.sink import AS_IS, CacheSink
from hookframe.core.hooks.attachment import Attachment, HookHandle, fits
from hookframe.core.hooks.caching import DeferredGuards
from hookframe.core.model.hook_point import HookPoint
from hookframe.core.model.names import Selected, select, unknown_point
from hookframe.core.model.tree import PointIndex
from hookframe.core.registration.admission import model_name, next_operation
from hookframe.core.registration.attach import attach, detach_all, review_removal
from hookframe.core.registration.planning import plan_attachments
from hookframe.core.torch_compat.dynamo import (
    begun_in_what_it_calls,
    calls_torch,
    compiles_around,
    never_compiled,
    run_while_traced,
    tracing_state,
)
from hookframe.core.torch_compat.host_copies import HostCopier
from hookframe.core.values.slices import Slice, SliceInput
from hookframe.core.values.types import CloneMode, DeviceType, HookFunction, HookSpecification, NamesFilter
from hookframe.core.verbs.caching import check_batch_of_one, functions_for, loss_of, options_for, prepare, reviewed
from hookframe.core.verbs.context import HookContext
from hookframe.core.verbs.delegated import DelegatedVerbs
from hookframe.core.verbs.introspection import HookIntrospectionMixin
from hookframe.core.verbs.reports import review_export, tell_failures, tell_started
from hookframe.core.verbs.specification import review_keywords, specifications_of
from hookframe.errors import NotAHookPoint, UnknownHookPoint

__all__ = ["HookedRootModule"]

logger = logging.getLogger("hookframe")


class HookedRootModule(HookIntrospectionMixin, DelegatedVerbs):
    """A model with hook points: the verbs that add, run with, cache and remove hooks, capture, and apply plans.

    Subclasses call :meth:`setup` at the end of their ``__init__``. Names, points and who decides are in
    :class:`~hookframe.core.model.named_model.NamedModel`; :meth:`capture` and :meth:`apply_plan` in
    :class:`~hookframe.core.verbs.delegated.DelegatedVerbs`.
    """

    # ---- running with temporary hooks ----------------------------------------------------------------------------------

    def hooks(
        self,
        fwd_hooks: Iterable[HookSpecification] = (),
        bwd_hooks: Iterable[HookSpecification] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        *,
        scope: ScopeName | None = None,
    ) -> HookContext[Self]:
        """A context manager with temporary hooks; it yields the model.

        :param fwd_hooks: pairs of a name, a glob or a predicate on names, and a function. A name or glob that means no point
            is an error; a predicate that accepts none is only logged.
        :param bwd_hooks: the same for gradients. They belong to the forwards run inside, and fire for each backward pass
            through the graphs of these, also after the context has ended.
        :param reset_hooks_end: remove these hooks, and no others, on the way out, also after an exception.
        :param clear_contexts: empty the ``ctx`` of every point on the way out.
        :param scope: ``"context"``: the functions fire only for forwards run by the thread or asyncio task that entered,
            and for the gradients of these forwards; ``"all"``: in every thread and task that runs the model. None: as the
            policy says (``settings.scope``), else ``"all"``.
        :raises HookDenied: on entering, if the admission refuses; nothing was attached.
        :raises NotSetUp: on entering, if ``setup()`` was never called.
        """
        return HookContext(
            self,
            fwd_hooks,
            bwd_hooks,
            reset_hooks_end=reset_hooks_end,
            clear_contexts=clear_contexts,
            route="hooks",
            scope=scope,
        )

    def run_with_hooks(
        self,
        *model_args: Any,
        fwd_hooks: Iterable[HookSpecification] = (),
        bwd_hooks: Iterable[HookSpecification] = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        scope: ScopeName | None = None,
        **model_kwargs: Any,
    ) -> Any:
        """Run the model with temporary hooks and return its output; the parameters are those of :meth:`hooks`.

        The hooks are off when it returns; backward hooks fire for each backward pass through the graph of this run. With
        activation checkpointing, a backward pass after that would compute without the edits of forward hooks, and warns
        (``EditNotRecomputedWarning``): call ``backward()`` inside ``with model.hooks(...)`` there.

        :raises HookDenied: if the admission refuses; the model was not run.
        :raises TypeError: if a keyword that ``forward`` does not name is, or resembles, an option of a verb; the model was
            not run.
        """
        if model_kwargs:
            review_keywords(self, "run_with_hooks", model_kwargs)
        specifications = specifications_of(fwd_hooks, bwd_hooks)
        context = HookContext(
            self,
            specifications[0][1],
            specifications[1][1],
            reset_hooks_end=reset_hooks_end,
            clear_contexts=clear_contexts,
            route="run_with_hooks",
            scope=scope,
            specifications=specifications,
        )
        with context:
            return self.run_at_once(model_args, model_kwargs)

    # ---- caching -------------------------------------------------------------------------------------------------------

    def get_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: DeviceType = None,
        remove_batch_dim: bool = False,
        cache: dict[str, torch.Tensor] | None = None,
        pos_slice: Slice | SliceInput = None,
        *,
        clone: CloneMode = "never",
    ) -> tuple[dict[str, torch.Tensor], list[HookSpecification], list[HookSpecification]]:
        """Hooks for :meth:`hooks` that fill a cache; nothing is attached yet.

        :param names_filter: which points: None for all, a name, a glob (``"blocks.*.attn.hook_?"``), a list of these, or a
            predicate on names. A predicate may accept none: that is logged, and no error.
        :param incl_bwd: gradients as well, under ``name + "_grad"``.
        :param device: where to store; None to leave tensors where they are.
        :param remove_batch_dim: drop a leading dimension of 1.
        :param cache: the dict to fill; a new :class:`ActivationCache` if None.
        :param pos_slice: which positions to keep: ``[batch, pos, ...]`` → ``[batch, len(pos_slice), ...]``. An int keeps
            the dimension, with size 1.
        :param clone: ``"never"`` stores references, and a later in-place change is reported; ``"auto"`` keeps the value
            at fire time by copying on the first write; ``"always"`` copies at once.
        :returns: the cache, the forward hooks and the backward hooks.
        :raises UnknownHookPoint: if a name is not there, or a glob matches none.
        :raises HookDenied: if a plugin refuses the device.
        """
        selection = self.selection(names_filter)
        options = options_for(device, remove_batch_dim, pos_slice, clone)
        sink = prepare(self, selection, options, gradients=incl_bwd, cache=cache, route="hooks")
        hooks: dict[Direction, list[HookSpecification]] = {
            direction: [(selected.asked, function) for selected in selection]
            for direction, function in functions_for(sink, incl_bwd)
        }
        return sink.cache, hooks["fwd"], hooks.get("bwd", [])

    def add_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: DeviceType = None,
        remove_batch_dim: bool = False,
        cache: dict[str, torch.Tensor] | None = None,
        *,
        clone: CloneMode = "auto",
    ) -> dict[str, torch.Tensor]:
        """Attach caching hooks until they are reset, and return the dict that each run fills.

        The parameters are those of :meth:`get_caching_hooks`. ``clone`` is ``"auto"`` here, since no run has an
        end at which references could be checked.

        :raises HookDenied: if the admission refuses; nothing was attached.
        """
        selection = self.selection(names_filter)
        options = options_for(device, remove_batch_dim, None, clone)
        sink = prepare(self, selection, options, gradients=incl_bwd, cache=cache, route="add_caching_hooks")
        planned = [
            attachment
            for direction, function in functions_for(sink, incl_bwd)
            for attachment in plan_attachments(selection, function, direction=direction)
        ]
        operation = next_operation()
        admitted = attach(planned, root=self, route="add_caching_hooks", operation=operation)
        tell_started(self, [sink], admitted.attachments, operation, "add_caching_hooks")
        if isinstance(sink.cache, ActivationCache):
            sink.cache.skipped.update(admitted.skipped)
        return sink.cache

    def run_with_cache(  # with as few calls as possible: each takes a microsecond
        self,
        *model_args: Any,
        names_filter: NamesFilter = None,
        device: DeviceType = None,
        remove_batch_dim: bool = False,
        incl_bwd: bool = False,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: Slice | SliceInput = None,
        clone: CloneMode = "never",
        scope: ScopeName | None = None,
        **model_kwargs: Any,
    ) -> tuple[Any, ActivationCache]:
        """Run the model and cache activations.

        The parameters are those of :meth:`get_caching_hooks`, and:

        :param clone: ``"never"`` here, unlike in :meth:`capture`: references are stored, and a value that the model changes in
            place is no longer that of fire time: a ``StaleActivationWarning`` names it. ``"auto"`` keeps all values.
        :param device: where to store; values that go from a GPU to ``"cpu"`` are copied into pinned memory while the
            model runs, up to the limit on pinned memory.
        :param incl_bwd: call ``.backward()`` on the output, which is then a scalar, or on its ``loss``, and cache gradients
            as well.
        :param reset_hooks_end: remove the caching hooks afterwards, also after an exception.
        :param clear_contexts: empty the ``ctx`` of every point afterwards.
        :param scope: ``"context"`` caches only what this thread or asyncio task runs; see :meth:`hooks`.
        :returns: the model's output, and the cache: exactly the points that ran, in the order in which they ran.
        :raises HookDenied: if the admission refuses; the model was not run.
        :raises AssertionError: if ``remove_batch_dim`` is asked for and the batch size of the first positional
            tensor is not 1; the model was not run.
        :raises TypeError: if a keyword that ``forward`` does not name is, or resembles, an option of a verb; the model was
            not run.
        """
        if model_kwargs:
            review_keywords(self, "run_with_cache", model_kwargs)
        if remove_batch_dim:
            check_batch_of_one(model_args)
        selection, controller, options = self.selection(names_filter), self.controller, AS_IS
        if device is not None or remove_batch_dim or pos_slice is not None or clone != "never":
            options = options_for(device, remove_batch_dim, pos_slice, clone)
        wanted = controller.wanted
        if "check_cache" in wanted or "check_device" in wanted:
            options = reviewed(self, controller, selection, options, gradients=incl_bwd, route="run_with_cache")
        cache = ActivationCache().came_from(self)
        sink = CacheSink(cache, options)
        if sink.options.device is not None and torch.device(sink.options.device).type == "cpu":
            sink.copier = HostCopier()  # no user sees the cache before this returns
        late = DeferredGuards() if incl_bwd else None
        context = HookContext(
            self,
            (),
            (),
            reset_hooks_end=reset_hooks_end,
            clear_contexts=clear_contexts,
            route="run_with_cache",
            scope=scope,
            selection=selection,
            sinks=(sink,),
            late=late,
            controller=controller,
        )
        try:
            with context:
                output = self.run_at_once(model_args, model_kwargs)
                if late is not None:
                    late.look()
                    loss_of(output).backward()
        finally:
            if late is not None:
                late.end()
            if sink.copier is not None:
                sink.copier.finish()
        return output, cache

    def cache_all(self, cache: dict[str, torch.Tensor] | None, **options: Any) -> None:
        """Fill ``cache`` from all points. Deprecated: :meth:`add_caching_hooks` does it."""
        logger.warning("cache_all is deprecated: use add_caching_hooks(cache=...)")
        self.add_caching_hooks(cache=cache, **options)

    def cache_some(self, cache: dict[str, torch.Tensor] | None, names: NamesFilter, **options: Any) -> None:
        """Fill ``cache`` from the points that ``names`` means. Deprecated: :meth:`add_caching_hooks` does it."""
        logger.warning("cache_some is deprecated: use add_caching_hooks(names_filter=..., cache=...)")
        self.add_caching_hooks(names_filter=names, cache=cache, **options)

    # ---- attaching -----------------------------------------------------------------------------------------------------

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

    def _look_up(self, name: str | Callable[[str], bool]) -> Sequence[Selected]:
        modules = self.__dict__.get("mod_dict")
        if isinstance(name, str) and modules is not None and "hook_dict" not in self.__dict__:
            if name not in modules:
                raise unknown_point(name, modules)
            return select(name, {name: modules[name]})
        return self.selection(name).entries

    def _attach(
        self,
        selection: Sequence[Selected],
        hook: HookFunction,
        direction: Direction,
        options: dict[str, Any],
    ) -> list[Attachment]:
        planned = plan_attachments(selection, hook, direction=direction, **options)
        return attach(planned, root=self, route="add_hook", operation=next_operation()).attachments

    # ---- removing ------------------------------------------------------------------------------------------------------

    def remove_all_hook_fns(
        self,
        direction: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Remove the hooks of every point that fit; ``level=None`` means any level.

        Backward hooks of contexts that have ended are among them, as long as a graph would still call them.

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
        if direction != "fwd":
            fitting += [a for a in self.left_in_graphs() if fits(a, including_permanent, level)]
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

    # ---- attaching, for code that was written against TransformerLens's internals --------------------------------------

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

    # ---- the call ------------------------------------------------------------------------------------------------------

    @begun_in_what_it_calls
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model, as any torch module."""
        if is_dynamo_compiling():
            if is_exporting():
                self.look_at_export()
            else:
                self.__dict__["_ran"] = True
            if calls_torch(HookedRootModule, type(self)):
                call: Any = nn.Module._call_impl  # super() would search hookframe's classes in each run
                return call(self, *args, **kwargs)
            return super().__call__(*args, **kwargs)
        own = self.__dict__
        own["_ran"] = True
        if not own["context_level"]:  # else the context has checked
            self._look_at_tree(compiles_around())
        if is_exporting() or tracing_state() is not None:
            self.look_at_export()
        try:
            return super().__call__(*args, **kwargs)
        except BaseException:
            self._tell_failures()
            raise

    @never_compiled
    def _look_at_tree(self, compiles: object) -> None:
        tree: PointIndex | None = self.__dict__.get("_tree")
        # compiled code checks the modules itself, but does not know that a new point has no name
        if tree is not None and not (tree.has_no_new_point() if compiles else tree.is_current()):
            self.refresh()

    @never_compiled
    @run_while_traced
    def look_at_export(self) -> None:
        """If this model is being exported, say what becomes of its hooks in the program.

        :raises ExportError: if a caching hook would store placeholders.
        """
        if (is_exporting() or is_tracing()) and "hook_dict" in self.__dict__:  # type: ignore[no-untyped-call]
            review_export([a for point in self.hook_points() for a in point.fitting("both", True, None)])

    @never_compiled
    def _tell_failures(self) -> None:
        if _runs_inside_another():
            return
        if "hook_dict" in self.__dict__ and self.controller.wants("hook_failed"):
            hooks = [a for point in self.hook_points() for a in point.fitting("both", True, None)]
            tell_failures(self, hooks, self.controller)


def _runs_inside_another() -> bool:
    """True if a call of another model is under way around this one; looked up only when a run has failed."""
    code, found = HookedRootModule.__call__.__code__, 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and found < 2:
        found += frame.f_code is code
        frame = frame.f_back
    return found == 2
