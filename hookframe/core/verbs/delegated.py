"""Verbs of a model that rooms above the core implement: captures over many forwards, and hooks as data."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self, overload

from torch import nn

from hookframe.admission.above import above
from hookframe.core.model.named_model import NamedModel
from hookframe.core.values.slices import Slice, SliceInput
from hookframe.core.values.types import CloneMode, DeviceType, NamesFilter

__all__ = ["AppliesToModel", "DelegatedVerbs"]


class AppliesToModel(ABC):
    """What ``model.apply`` takes besides functions: a plan of hooks, which knows how it is applied."""

    @abstractmethod
    def apply_to(self, root: Any) -> AbstractContextManager[Any]:
        """The context in which the plan is in force on ``root``; nothing is attached before it is entered."""


class DelegatedVerbs(NamedModel):
    """``capture``, ``apply_plan``, and ``apply`` for plans."""

    @property
    def forward_module(self) -> nn.Module:
        """The module whose call is one forward: this one, unless it stands for a model inside."""
        return self

    def capture(
        self,
        names: NamesFilter = None,
        *,
        device: DeviceType = None,
        pos_slice: Slice | SliceInput = None,
        clone: CloneMode = "auto",
        max_bytes: int | None = None,
        spill: str | os.PathLike[str] | None = None,
        forwards_of: nn.Module | None = None,
    ) -> Any:
        """A context that keeps the activations of every forward that this thread or asyncio task runs inside it.

        It yields a :class:`~hookframe.capture.captured.Captured`, a cache that tells forwards (``generate`` makes many),
        calls, prompts and decoding apart. ``model.capture(...).estimate(*inputs)`` says beforehand what a forward will
        cache.

        :param names: which points: as in :meth:`run_with_cache`.
        :param device: where to keep tensors; None to leave them where they are.
        :param pos_slice: which positions to keep of each forward.
        :param clone: ``"auto"`` and ``"always"`` keep values as of fire time; ``"never"`` keeps references, and a later
            change in place is reported.
        :param max_bytes: refuse a forward that would take the capture beyond it: before the forward runs if its shapes
            can be estimated (no filled key-value cache, no other hook functions), else at the first activation too many.
            Admission reviews an estimate.
        :param spill: an empty directory, made if it is missing, to write tensors to while forwards run. They appear in the
            cache, mapped from there, once they are written: all of them at the end. ``ActivationCache.load`` reads the
            directory later, unless an exception ended the context or the process was killed.
        :param forwards_of: the module whose calls count as forwards, if it is not this one.
        :raises HookDenied: on entering, if the admission refuses; nothing was attached.
        :raises UnknownHookPoint: on entering, if a name is not there, or a glob matches none.
        :raises CacheFileError: on entering, if ``spill`` cannot be used.
        :raises CacheTooLarge: from the forward; what was captured before is in the cache.
        """
        options = {
            "device": device,
            "pos_slice": pos_slice,
            "clone": clone,
            "max_bytes": max_bytes,
            "spill": spill,
            "forwards_of": forwards_of,
        }
        return above("capture", self, names, options)

    def apply_plan(self, plan: AppliesToModel) -> AbstractContextManager[Any]:
        """A context in which the hooks of ``plan``, a :class:`~hookframe.plan.hook_plan.HookPlan`, are attached.

        It yields a :class:`~hookframe.capture.captured.Captured` with what the plan's ``capture`` hooks keep.

        :raises HookDenied: on entering, if the admission refuses; nothing was attached.
        :raises UnknownHookPoint: on entering, if the plan names a point that the model does not have; nothing was attached.
        """
        return plan.apply_to(self)

    @overload
    def apply(self, fn: Callable[[nn.Module], None]) -> Self: ...
    @overload
    def apply(self, fn: AppliesToModel) -> AbstractContextManager[Any]: ...
    def apply(self, fn: Callable[[nn.Module], None] | AppliesToModel) -> Self | AbstractContextManager[Any]:
        """As ``torch.nn.Module.apply`` for a function; for a plan of hooks, :meth:`apply_plan`."""
        return self.apply_plan(fn) if isinstance(fn, AppliesToModel) else super().apply(fn)
