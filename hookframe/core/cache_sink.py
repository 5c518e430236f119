"""Where cached activations go: one sink for each caching operation, and the hooks that feed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.compiler import is_dynamo_compiling

from hookframe.core.gradients import GradientAttachment, begin_run
from hookframe.core.handles import Attachment
from hookframe.core.host_copies import HostCopier
from hookframe.core.slicing import Slice
from hookframe.core.types import CloneMode, DeviceType
from hookframe.errors import ActivationTypeError, ReplicaCacheError

if TYPE_CHECKING:
    from hookframe.core.hook_point import HookPoint
    from hookframe.core.two_way_caching import LateGuards

__all__ = ["CacheOptions", "CacheSink", "CachingAttachment", "CachingFunction", "GradientCachingAttachment"]

_HEAD_POINTS = ("hook_q", "hook_k", "hook_v", "hook_z", "hook_result")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """How values are stored.

    :ivar device: where to, None to leave them where they are.
    :ivar remove_batch_dim: drop a leading dimension of 1.
    :ivar pos_slice: which positions to keep, None for all.
    :ivar clone: ``"never"``: a reference, checked at the end; ``"auto"``: copied on the first write to either; ``"always"``.
    """

    device: DeviceType = None
    remove_batch_dim: bool = False
    pos_slice: Slice | None = None
    clone: CloneMode = "never"

    @property
    def as_is(self) -> bool:
        """True if values are stored in full, where they are."""
        return self.device is None and not self.remove_batch_dim and self.pos_slice is None


class CacheSink:
    """Stores what caching hooks see.

    :ivar cache: key → detached tensor, in order of execution.
    :ivar copier: copies from a GPU to the CPU, for somebody who looks at the cache only once it has finished.
    :ivar references: key → (tensor, version) of the values that share memory with the model's own tensors.
    """

    __slots__ = ("as_is", "cache", "clone", "copier", "options", "references")

    def __init__(self, cache: dict[str, torch.Tensor], options: CacheOptions, copier: HostCopier | None = None) -> None:
        self.cache = cache
        self.copier = copier
        self.options = options
        self.as_is = options.as_is
        self.clone = options.clone
        self.references: dict[str, tuple[torch.Tensor, int]] = {}

    def store(self, key: str, point: HookPoint, value: Any) -> None:
        """Store ``value``, an activation or gradient at ``point``, under ``key``.

        :raises ActivationTypeError: if it is no tensor.
        """
        try:
            if value.requires_grad:
                value = value.detach()
        except AttributeError:
            raise _not_a_tensor(key, value) from None
        owned = False
        if not self.as_is:
            value, owned = self._shape(key, point, value)
        if not owned:
            value = self._keep_value(key, value)
        self.cache[key] = value

    def _keep_value(self, key: str, value: torch.Tensor) -> torch.Tensor:
        """Make sure that a later in-place change is noticed, or cannot reach the stored value."""
        if self.clone == "always":
            return value.clone()
        if is_dynamo_compiling():  # neither versions nor copies on write exist in a compiled graph
            return value if self.clone == "never" else value.clone()
        if self.clone == "never":
            try:
                self.references[key] = (value, value._version)
                return value
            except RuntimeError:  # tensors made in inference mode have no version counter to check
                pass
        return copy_on_write(value)

    def _shape(self, key: str, point: HookPoint, value: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """Apply the options; the second result says that the value owns its memory."""
        options, whole = self.options, value
        removed = options.remove_batch_dim and value.dim() > 0 and value.shape[0] == 1
        if removed:
            value = value[0]
        if options.pos_slice is not None:
            dim = _position_dim(key, point, removed)
            if -value.dim() <= dim < value.dim():
                value = options.pos_slice.apply(value, dim=dim)
        owned = value.numel() < whole.numel()
        if owned:
            value = value.clone()  # a view would keep the whole activation alive
        if options.device is not None:
            if self.copier is not None and value.is_cuda and not is_dynamo_compiling():
                return self.copier.copy(value, owned=owned), True
            moved = value.to(options.device)
            return moved, owned or moved is not value
        return value, owned

    def stale(self) -> list[str]:
        """Keys whose stored tensor was changed in place since; empty when all values are those at fire time."""
        return [
            key
            for key, (tensor, version) in self.references.items()
            if tensor._version != version and self.cache.get(key) is tensor
        ]


def copy_on_write(value: torch.Tensor) -> torch.Tensor:
    """An alias of ``value`` that becomes a copy as soon as either is written to."""
    try:
        return torch._lazy_clone(value)
    except (RuntimeError, NotImplementedError):  # a layout that cannot be shared
        return value.clone()


def _position_dim(key: str, point: HookPoint, batch_removed: bool) -> int:
    pos_dim = point.pos_dim
    if pos_dim is not None:
        return pos_dim - 1 if batch_removed and pos_dim > 0 else pos_dim
    return -3 if key.removesuffix("_grad").endswith(_HEAD_POINTS) else -2


def _not_a_tensor(key: str, value: object) -> ActivationTypeError:
    return ActivationTypeError(
        f"the activation at {key!r} is a {type(value).__name__}, and a cache holds tensors: leave the point out with "
        "names_filter, or give it a hook_conversion that picks the tensor"
    )


class CachingFunction:
    """The hook function behind every caching hook: reads, stores, returns nothing.

    :ivar sink: where it stores.
    :ivar suffix: what is added to the point's name: ``""`` for activations, ``"_grad"`` for gradients.
    :ivar at_once: the sink's cache, if values are stored there as they come; None if there is more to do.
    :ivar private: True if no user can have it, so that what it stores in may be exchanged.
    :ivar late: for gradients of an operation that looks after its forward which activations were changed: the listeners.
    """

    __slots__ = ("at_once", "late", "private", "sink", "suffix")

    def __init__(self, sink: CacheSink, suffix: str = "", *, private: bool = False) -> None:
        self.suffix = suffix
        self.private = private
        self.store_in(sink)

    def store_in(self, sink: CacheSink, late: LateGuards | None = None) -> None:
        """Store in ``sink`` from here on."""
        self.sink = sink
        self.late = late
        self.at_once = sink.cache if sink.as_is and sink.clone == "never" else None

    def __call__(self, tensor: Any, *, hook: Any) -> None:
        """Store ``tensor`` under the name of ``hook``."""
        self.sink.store(f"{hook.name}{self.suffix}", hook, tensor)


class _Caching(Attachment):
    """What caching hooks have in common.

    :ivar key: the key in the cache.
    :ivar last: the tensor that was stored last, if it is the model's own; None if it cannot go stale.
    :ivar version: how often that had been changed in place by then.
    """

    __slots__ = ()
    key: str
    last: torch.Tensor | None
    version: int
    caches = True
    wrappable = False
    function: CachingFunction

    def fire(self, point: HookPoint, tensor: Any) -> Any:
        """Store ``tensor``; return it.

        :raises ReplicaCacheError: if the point is a replica of the one that the hook was attached to.
        :raises ActivationTypeError: if it is no tensor.
        """
        if is_dynamo_compiling():
            self.fired = 1
            return self._store(point, tensor)
        self.fired += 1
        if point is not self.point:
            raise _replica(self.key)
        cache = self.function.at_once
        if cache is None or not self.plain:
            return self._store(point, tensor)
        try:
            value = tensor.detach() if tensor.requires_grad else tensor
            self.version = value._version
        except (AttributeError, RuntimeError):  # not a tensor; or one of inference mode, which has no version
            return self._store(point, tensor)
        cache[self.key] = self.last = value
        return tensor

    def _store(self, point: HookPoint, tensor: Any) -> Any:
        self.last = None
        conversion = point.hook_conversion
        self.function.sink.store(self.key, point, tensor if conversion is None else conversion.convert(tensor))
        return tensor

    @staticmethod
    def arm(attachments: Sequence[Any], function: Any) -> None:
        """Let them store with ``function``."""
        own: CachingFunction = attachments[0].function
        if own.private and function.private:
            own.store_in(function.sink, function.late)
            return
        attachments[0].terms.user_hook = function
        for attachment in attachments:
            attachment.function = function

    @staticmethod
    def disarm(attachments: Sequence[Any]) -> None:
        """Let go of the cache and of what was stored."""
        own: CachingFunction = attachments[0].function
        if own.private:
            own.store_in(_NOWHERE)
        else:
            attachments[0].terms.user_hook = RESTING
            for attachment in attachments:
                attachment.function = RESTING
        for attachment in attachments:
            attachment.fired = 0
            attachment.last = None

    @staticmethod
    def stale(attachments: Sequence[Any]) -> list[str]:
        """Keys of those whose tensor is still in the cache, and was changed in place since it was stored."""
        changed = [a for a in attachments if (last := a.last) is not None and last._version != a.version]
        return [a.key for a in changed if a.function.sink.cache.get(a.key) is a.last]


class CachingAttachment(_Caching):
    """A caching hook on the activation."""

    __slots__ = ()


class GradientCachingAttachment(_Caching, GradientAttachment):
    """A caching hook on the gradient."""

    __slots__ = ()

    @staticmethod
    def arm(attachments: Sequence[Any], function: Any) -> None:
        """Let them store with ``function``; the graphs of operations that are over call them no more."""
        _Caching.arm(attachments, function)
        begin_run(attachments)


class _Nowhere(dict[str, torch.Tensor]):
    """A cache that keeps nothing."""

    def __setitem__(self, key: str, value: torch.Tensor) -> None:
        pass


_NOWHERE = CacheSink(_Nowhere(), CacheOptions())
RESTING = CachingFunction(_NOWHERE)
"""What a caching hook stores with while no operation uses it."""


def _replica(key: str) -> ReplicaCacheError:
    return ReplicaCacheError(
        f"{key!r} is being cached on a replica of the model (as DataParallel makes them), and each replica would "
        "overwrite the others' values: run the model itself, without DataParallel"
    )
