"""Where cached activations go: one sink for each caching operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.compiler import is_dynamo_compiling

from hookframe.admission.point_names import position_dim
from hookframe.core.torch_compat.host_copies import HostCopier
from hookframe.core.values.slices import Slice
from hookframe.core.values.types import CloneMode, DeviceType
from hookframe.errors import ActivationTypeError

if TYPE_CHECKING:
    from hookframe.core.values.protocols import Point

__all__ = ["AS_IS", "CacheOptions", "CacheSink"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """How values are stored.

    :ivar device: where to store; None to leave values where they are.
    :ivar remove_batch_dim: drop a leading dimension of 1.
    :ivar pos_slice: which positions to keep; None for all.
    :ivar clone: ``"never"``: a reference, checked at the end; ``"auto"``: a copy on write; ``"always"``: a copy at once.
    """

    device: DeviceType = None
    remove_batch_dim: bool = False
    pos_slice: Slice | None = None
    clone: CloneMode = "never"

    @property
    def as_is(self) -> bool:
        """True if values are stored in full, where they are."""
        return self.device is None and not self.remove_batch_dim and self.pos_slice is None


AS_IS = CacheOptions()
"""Values in full, where they are, by reference."""


class CacheSink:
    """Stores what caching hooks see.

    :ivar cache: key → detached tensor, in order of execution.
    :ivar copier: copies from a GPU to the CPU, if the cache is read only after the copier has finished.
    :ivar references: key → (tensor, version) of the values that share memory with the model's own tensors, except those that
        caching hooks track themselves.
    :ivar unversioned: keys of values that came from compiled code, which has no versions.
    """

    __slots__ = ("as_is", "cache", "clone", "copier", "options", "references", "unversioned")

    def __init__(self, cache: dict[str, torch.Tensor], options: CacheOptions, copier: HostCopier | None = None) -> None:
        self.cache = cache
        self.copier = copier
        self.options = options
        self.as_is = options is AS_IS or options.as_is
        self.clone = options.clone
        self.references: dict[str, tuple[torch.Tensor, int]] = {}
        self.unversioned: dict[str, None] = {}

    def store(self, key: str, point: Point, value: Any, *, known_as: str | None = None) -> None:
        """Store ``value``, an activation or gradient at ``point``, under ``key``.

        :param known_as: the name that tells which dimension is the position, if ``key`` is an alias.
        :raises ActivationTypeError: if ``value`` is no tensor.
        """
        try:
            if value.requires_grad:
                value = value.detach()
        except AttributeError:
            raise _not_a_tensor(key, value) from None
        owned = False
        if not self.as_is:
            value, owned = self._shape(known_as or key, point, value)
        if not owned:
            value = self._keep_value(key, value)
        self.cache[key] = value

    def _keep_value(self, key: str, value: torch.Tensor) -> torch.Tensor:
        """Make sure that a later in-place change is noticed, or cannot reach the stored value."""
        if self.clone == "always":
            return value.clone()
        if is_dynamo_compiling():  # neither versions nor copies on write exist in a compiled graph
            self.unversioned[key] = None
            return value if self.clone == "never" else value.clone()
        if self.clone == "never":
            try:
                self.references[key] = (value, value._version)
                return value
            except RuntimeError:  # tensors made in inference mode have no version counter to check
                pass
        return copy_on_write(value)

    def _shape(self, key: str, point: Point, value: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """Apply the options; the second result is True if the value owns its memory."""
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


def _position_dim(key: str, point: Point, batch_removed: bool) -> int:
    pos_dim = point.pos_dim
    if pos_dim is not None:
        return pos_dim - 1 if batch_removed and pos_dim > 0 else pos_dim
    return position_dim(key.removesuffix("_grad"))


def _not_a_tensor(key: str, value: object) -> ActivationTypeError:
    return ActivationTypeError(
        f"the activation at {key!r} is a {type(value).__name__}, and a cache holds tensors: leave the point out with "
        "names_filter, or give it a hook_conversion that picks the tensor"
    )
