"""The dict that a caching run fills, and what is known about what it holds."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["ActivationCache"]


class ActivationCache(dict[str, torch.Tensor]):
    """Name of the hook point → detached activation, in order of execution; gradients under ``name + "_grad"``.

    :ivar skipped: name → reason, for points that a filter swept up and that were left out.
    :ivar stale: keys whose tensor was changed in place after it was cached.
    """

    skipped: dict[str, str]
    stale: tuple[str, ...]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.skipped = {}
        self.stale = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together, each counted with its own elements."""
        return cached_bytes(self)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{key!r}: {list(value.shape)}" for key, value in list(self.items())[:4])
        more = f", … {len(self) - 4} more" if len(self) > 4 else ""
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"ActivationCache({{{shapes}{more}}}, {self.nbytes:,} bytes{skipped})"


def cached_bytes(cache: dict[str, torch.Tensor]) -> int:
    """Bytes of the tensors in ``cache``."""
    return sum(value.numel() * value.element_size() for value in cache.values() if isinstance(value, torch.Tensor))
