"""The verbs that cache activations, for :class:`~hookframe.core.root_module.HookedRootModule`."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch

from hookframe.admission.controller import AdmissionController
from hookframe.admission.request import CacheRequest, Direction, Route
from hookframe.core.activation_cache import ActivationCache
from hookframe.core.admitting import next_operation, review_or_raise
from hookframe.core.cache_report import tell_started
from hookframe.core.cache_sink import AS_IS, CacheOptions, CacheSink, CachingFunction
from hookframe.core.context import HookContext
from hookframe.core.describing import describe
from hookframe.core.devices import device_in_force, device_named, review_device
from hookframe.core.hook_point import attach
from hookframe.core.host_copies import HostCopier
from hookframe.core.keywords import review_keywords
from hookframe.core.named_model import NamedModel
from hookframe.core.planning import plan_attachments
from hookframe.core.scope import ScopeName
from hookframe.core.selection import Selection
from hookframe.core.slicing import Slice, SliceInput
from hookframe.core.two_way_caching import LateGuards
from hookframe.core.types import CloneMode, DeviceType, HookSpecification, NamesFilter
from hookframe.errors import GradientError

__all__ = ["CachingVerbs"]

logger = logging.getLogger("hookframe")


class CachingVerbs(NamedModel):
    """``run_with_cache``, ``get_caching_hooks``, ``add_caching_hooks`` and two older spellings."""

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
            predicate on names. A predicate may accept none, on purpose: that is logged, and no error.
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
        options = _options(device, remove_batch_dim, pos_slice, clone)
        sink = _prepare(self, selection, options, gradients=incl_bwd, cache=cache, route="hooks")
        hooks: dict[Direction, list[HookSpecification]] = {
            direction: [(selected.asked, function) for selected in selection]
            for direction, function in _functions(sink, incl_bwd)
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

        The parameters are those of :meth:`get_caching_hooks`. ``clone`` is ``"auto"`` here, since there is no end of a
        run at which references could be checked.

        :raises HookDenied: if the admission refuses; nothing was attached.
        """
        selection = self.selection(names_filter)
        options = _options(device, remove_batch_dim, None, clone)
        sink = _prepare(self, selection, options, gradients=incl_bwd, cache=cache, route="add_caching_hooks")
        planned = [
            attachment
            for direction, function in _functions(sink, incl_bwd)
            for attachment in plan_attachments(selection, function, direction=direction)
        ]
        operation = next_operation()
        admitted = attach(planned, root=self, route="add_caching_hooks", operation=operation)
        tell_started(self, [sink], admitted.attachments, operation, "add_caching_hooks")
        if isinstance(sink.cache, ActivationCache):
            sink.cache.skipped.update(admitted.skipped)
        return sink.cache

    def run_with_cache(  # with as few calls as can be: each takes a microsecond
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
            place afterwards is not that of fire time; a ``StaleActivationWarning`` names it. ``"auto"`` keeps all values.
        :param device: where to store; values that come from a GPU to ``"cpu"`` are copied into pinned memory beside what
            the model does, as far as there may be pinned memory.
        :param incl_bwd: call ``.backward()`` on the output, which is then a scalar, or on its ``loss``, and cache gradients
            as well.
        :param reset_hooks_end: remove the caching hooks afterwards, also after an exception.
        :param clear_contexts: empty the ``ctx`` of every point afterwards.
        :param scope: ``"context"`` caches what this thread or asyncio task runs alone; see :meth:`hooks`.
        :returns: the model's output, and the cache: exactly the points that ran, in the order in which they did.
        :raises HookDenied: if the admission refuses; the model was not run.
        :raises AssertionError: if ``remove_batch_dim`` is asked for and the first positional tensor has another batch
            size than 1; the model was not run.
        :raises TypeError: if one of ``model_kwargs`` that ``forward`` does not name is an option of another verb, or nearly
            one of these; the model was not run.
        """
        if model_kwargs:
            review_keywords(self, "run_with_cache", model_kwargs)
        if remove_batch_dim:
            _check_batch_of_one(model_args)
        selection, controller, options = self.selection(names_filter), self.controller, AS_IS
        if device is not None or remove_batch_dim or pos_slice is not None or clone != "never":
            options = _options(device, remove_batch_dim, pos_slice, clone)
        wanted = controller.wanted
        if "check_cache" in wanted or "check_device" in wanted:
            options = _reviewed(self, controller, selection, options, gradients=incl_bwd, route="run_with_cache")
        cache = ActivationCache().came_from(self)
        sink = CacheSink(cache, options)
        if sink.options.device is not None and torch.device(sink.options.device).type == "cpu":
            sink.copier = HostCopier()  # nobody sees the cache before this returns
        late = LateGuards() if incl_bwd else None
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
                    _loss(output).backward()
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


def _loss(output: Any) -> Any:
    """What to call ``backward`` on: the output, or its ``loss``.

    :raises GradientError: if it is no tensor, and has no loss.
    """
    loss = output if hasattr(output, "backward") else getattr(output, "loss", None)
    if loss is None:
        raise GradientError(
            f"the output is a {type(output).__name__} without a loss, so there is no gradient to begin with: give the model "
            "what it computes a loss from, such as labels=, or call backward() inside 'with model.hooks(...)'"
        )
    return loss


def _functions(sink: CacheSink, gradients: bool) -> list[tuple[Direction, CachingFunction]]:
    found: list[tuple[Direction, CachingFunction]] = [("fwd", CachingFunction(sink))]
    if gradients:
        found.append(("bwd", CachingFunction(sink, "_grad")))
    return found


def _prepare(
    root: NamedModel,
    selection: Selection,
    options: CacheOptions,
    *,
    gradients: bool,
    cache: dict[str, torch.Tensor] | None,
    route: Route,
) -> CacheSink:
    """Review the device and the cache, then make the sink; nothing is attached.

    :raises HookDenied: if either is refused.
    """
    options = _reviewed(root, root.controller, selection, options, gradients=gradients, route=route)
    return CacheSink(ActivationCache().came_from(root) if cache is None else cache, options)


def _reviewed(
    root: NamedModel,
    controller: AdmissionController,
    selection: Selection,
    options: CacheOptions,
    *,
    gradients: bool,
    route: Route,
) -> CacheOptions:
    wanted = controller.wanted
    if "check_cache" not in wanted and "check_device" not in wanted:
        return options
    device = chosen = device_in_force(root, options.device)
    if "check_cache" in wanted:
        request = CacheRequest(
            points=tuple(name for name, _, _ in selection),
            device=None if device is None else str(device),
            gradients=gradients,
            route=route,
        )
        decision = review_or_raise(controller.review_cache(request, root))
        if decision.device is not None:
            chosen = device_named(decision)
    if chosen is not None:
        chosen = review_device(root, chosen, "cache", route)
    return options if chosen == device else replace(options, device=chosen)


def _options(
    device: DeviceType, remove_batch_dim: bool, pos_slice: Slice | SliceInput, clone: CloneMode
) -> CacheOptions:
    if clone not in ("never", "auto", "always"):
        raise ValueError(f"clone={describe(clone)} is unknown: use 'never', 'auto' or 'always'")
    sliced = None if pos_slice is None else Slice.unwrap(pos_slice)
    if device is None is sliced and clone == "never" and not remove_batch_dim:
        return AS_IS
    return CacheOptions(
        device=device,
        remove_batch_dim=remove_batch_dim,
        pos_slice=None if sliced is None or sliced.mode == "identity" else sliced,
        clone=clone,
    )


def _check_batch_of_one(model_args: tuple[Any, ...]) -> None:
    first = next((arg for arg in model_args if isinstance(arg, torch.Tensor)), None)
    if first is not None and first.dim() > 0 and first.shape[0] != 1:
        raise AssertionError(
            f"remove_batch_dim needs a batch of 1, and the input has batch size {first.shape[0]} "
            f"(shape {list(first.shape)}): run the inputs one by one, or keep the dimension"
        )
