"""``model.capture(...)``: a context around any number of forwards, whose activations it keeps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from hookframe.admission.listing import listed
from hookframe.admission.request import CacheRequest
from hookframe.capture.captured import Captured, CaptureKey, too_large
from hookframe.capture.estimate import Estimate, PointEstimate, run_on_shapes
from hookframe.capture.forward_listener import Beginning, ForwardListener
from hookframe.capture.manifest import MANIFEST
from hookframe.capture.naming import names_of
from hookframe.capture.saving import write_manifest
from hookframe.capture.spool import Spool
from hookframe.capture.step import CACHES
from hookframe.core.hooks.caching import CachingFunction
from hookframe.core.registration.admission import device_in_force, review_or_raise
from hookframe.core.values.slices import Slice, SliceInput
from hookframe.core.values.types import CloneMode, DeviceType, HookSpecification, NamesFilter
from hookframe.core.values.warn import warn_user
from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.errors import EstimateError, HookframeError, StaleActivationWarning

__all__ = ["Capture", "capture"]


class Capture:
    """What ``model.capture(...)`` returns: a context manager that yields the cache.

    :ivar cache: what has been captured; a fresh one each time that the context is entered.
    """

    def __init__(
        self,
        root: HookedRootModule,
        names: NamesFilter = None,
        *,
        device: DeviceType = None,
        pos_slice: Slice | SliceInput = None,
        clone: CloneMode = "auto",
        max_bytes: int | None = None,
        spill: str | os.PathLike[str] | None = None,
        forwards_of: nn.Module | None = None,
    ) -> None:
        if max_bytes is not None and (isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 0):
            raise ValueError(f"max_bytes={max_bytes!r} is no number of bytes: use an int, or None for any amount")
        self.root = root
        self.names = names
        self.max_bytes = max_bytes
        self.spill = None if spill is None else Path(spill)
        self.module: nn.Module = root.forward_module if forwards_of is None else forwards_of
        self.options: dict[str, Any] = {"device": device, "pos_slice": pos_slice, "clone": clone}
        if spill is not None and device is None:
            self.options["device"] = "cpu"
        self.cache = Captured()
        self._spool: Spool | None = None
        self._stack: ExitStack | None = None
        self._listener = ForwardListener(self._begin, self.cache.cut)
        self._fitted: dict[Any, int | None] = {}  # None where it cannot be told
        self._versions: dict[CaptureKey, tuple[torch.Tensor, int]] = {}

    def __enter__(self) -> Captured:
        if self._stack is not None:
            raise HookframeError("this capture is entered already: call capture(...) again for another one")
        cache = self.cache = Captured().came_from(self.root)
        cache.max_bytes, cache.keep = self.max_bytes, self._keep
        self._versions, self._fitted = {}, {}
        selected = self.root.select_points(self.names)
        cache.pos_dims = {s.name: s.point.pos_dim for s in selected if s.point.pos_dim is not None}
        with ExitStack() as stack:
            _, hooks, _ = self.root.get_caching_hooks(names_of(selected), cache=cache, **self.options)
            stack.push(self._finish)
            stack.enter_context(self.root.hooks(fwd_hooks=hooks, scope="context"))
            if self.spill is not None:
                self._spool = self._opened_spool(self.spill, hooks)
                stack.callback(self._spool.flush)
            self._listener = ForwardListener(self._begin, cache.cut)
            cache.look = self._listener.look
            stack.callback(self._listener.stop)
            self._listener.start(self.module)
            self._stack = stack.pop_all()
        return cache

    def _opened_spool(self, directory: Path, hooks: Sequence[HookSpecification]) -> Spool:
        spool = Spool(directory, self.cache.put)
        spool.open()
        write_manifest(directory, self.cache, {}, complete=False)
        for _, function in hooks:
            if isinstance(function, CachingFunction):
                function.sink.copier = spool.copier
        return spool

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(kind, error, trace)

    def estimate(self, *args: Any, **kwargs: Any) -> Estimate:
        """What one forward with these inputs will cache; nothing is computed, and nothing cached.

        Call it inside the context or outside. Outside, it passes the same admission as the capture itself. In both
        cases admission is then asked once more, with the bytes.

        :raises EstimateError: if what the model does depends on values, or another hook function is attached, which
            would be called with tensors that hold none.
        :raises HookDenied: if so many bytes are refused.
        """
        if self._stack is None:
            with self:
                return self.estimate(*args, **kwargs)
        told = self.trace(*args, **kwargs)
        self.review(self.cache.held + told.nbytes)
        return told

    def review(self, nbytes: int) -> None:
        """Ask admission about a cache of so many bytes, before it is filled.

        :raises HookDenied: if it is refused.
        """
        controller = self.root.controller
        if controller.wants("check_cache"):
            device = device_in_force(self.root, self.options["device"])
            request = CacheRequest(
                points=tuple(selected.name for selected in self.root.select_points(self.names)),
                device=None if device is None else str(device),
                estimated_bytes=nbytes,
                route="hooks",
            )
            review_or_raise(controller.review_cache(request, self.root))

    def trace(self, *args: Any, **kwargs: Any) -> Estimate:
        """As :meth:`estimate` inside of the context, without asking admission about the bytes."""
        points: list[PointEstimate] = []
        self._refuse_other_functions()
        self._listener.paused, self.cache.tally = True, lambda name, value: points.append(PointEstimate.of(name, value))
        try:
            run_on_shapes(self.module, args, kwargs)
        finally:
            self._listener.paused, self.cache.tally = False, None
        return Estimate(tuple(points))

    def _refuse_other_functions(self) -> None:
        for point in self.root.hook_points():
            for handle in point.fwd_hooks:
                if not isinstance(handle.user_hook, CachingFunction):
                    raise EstimateError(
                        f"a hook function is attached at {point.name!r}, and would be called with tensors that hold no "
                        "values: estimate before it is attached"
                    )

    def _begin(self, beginning: Beginning) -> None:
        step = beginning.step(len(self.cache.steps))
        if self.max_bytes is not None and not step.past:
            self._refuse_beforehand(self.max_bytes, beginning.args, beginning.kwargs)
        self.cache.begin(step)

    def _refuse_beforehand(self, most: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse a forward that cannot fit before it runs; if its size cannot be told, storing is refused later."""
        plain = {name: value for name, value in kwargs.items() if name not in CACHES}  # not to be filled by this
        if "use_cache" in plain:
            plain["use_cache"] = False
        key = _signature(args, plain)
        if key not in self._fitted:
            try:
                self._fitted[key] = self.trace(*args, **plain).nbytes
            except EstimateError:
                self._fitted[key] = None
        needed = self._fitted[key]
        if needed is None:
            return
        if self.cache.held + needed > most:
            raise too_large(f"a forward with {needed:,} bytes of activations", self.cache.held, most)
        self.review(self.cache.held + needed)

    def _keep(self, place: CaptureKey, value: torch.Tensor) -> bool:
        if self.options["clone"] == "never" and not value.is_inference():
            self._versions[place] = (value, value._version)
        if self._spool is None:
            return False
        self._spool.add(place, value)
        return True

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        cache, spool = self.cache, self._spool
        cache.keep, cache.look, self._spool = None, None, None
        stale = [cache.key_of(p) for p, (value, version) in self._versions.items() if value._version != version]
        self._versions = {}
        fresh = sorted(set(stale) - set(cache.stale))
        cache.stale = tuple(stale)
        if kind is not None:
            if spool is not None and not spool.files:
                (spool.directory / MANIFEST).unlink(missing_ok=True)  # as if it had never begun
            return
        if spool is not None:
            write_manifest(spool.directory, cache, spool.files)
        if fresh:
            warn_user(
                f"{len(fresh)} captured activations were changed in place later and do not hold their value at fire time: "
                f"{listed(map(repr, fresh))}; capture with clone='auto' to keep it",
                StaleActivationWarning,
            )


def capture(root: HookedRootModule, names: NamesFilter, options: Mapping[str, Any]) -> Capture:
    """The body of ``model.capture``."""
    return Capture(root, names, **options)


def _signature(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What the shapes of a forward's activations depend on, as far as its arguments show."""
    flat, structure = torch.utils._pytree.tree_flatten((args, dict(kwargs)))
    leaves = (
        (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, torch.Tensor) else (type(leaf), repr(leaf)[:200])
        for leaf in flat
    )
    return (*leaves, str(structure))
