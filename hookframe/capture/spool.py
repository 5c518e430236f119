"""Captured values on disk: written as the forwards go, and mapped back as tensors that take no memory until looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from hookframe.capture.captured import CaptureKey
from hookframe.capture.manifest import MANIFEST
from hookframe.capture.shards import SUFFIX, read_shard, write_shard
from hookframe.core.cache.activation_cache import bytes_of
from hookframe.core.torch_compat.host_copies import HostCopier
from hookframe.errors import CacheFileError

__all__ = ["Spool"]

SHARD_BYTES = 64 << 20  # this much waits in memory before it is written


class Spool:
    """Writes values to files of about ``SHARD_BYTES`` in a directory, and gives them back mapped from there.

    Values on a CUDA device are copied beside what it computes, and are whole only when :meth:`flush` has waited for them.

    :ivar files: the files written, in order, and the keys in each.
    """

    def __init__(self, directory: Path, put: Callable[[CaptureKey, torch.Tensor], None]) -> None:
        self.directory = directory
        self.files: dict[str, list[CaptureKey]] = {}
        self._put = put
        self.copier = HostCopier()
        self._waiting: dict[CaptureKey, torch.Tensor] = {}
        self._bytes = 0

    def open(self) -> None:
        """Make the directory.

        :raises CacheFileError: if it cannot be made, or holds a cache or a capture already.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            taken = next(
                (path for path in self.directory.iterdir() if path.suffix == SUFFIX or path.name == MANIFEST), None
            )
        except OSError as error:
            raise CacheFileError(f"{str(self.directory)!r} cannot be used: {error.strerror}") from error
        if taken is not None:
            raise CacheFileError(f"{str(self.directory)!r} holds {taken.name!r} already: spill to an empty directory")

    def add(self, place: CaptureKey, value: torch.Tensor) -> None:
        """Take one value; writes a file when enough have come together."""
        self._waiting[place] = value
        self._bytes += bytes_of(value)
        if self._bytes >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has not been written yet.

        :raises CacheFileError: if it cannot be written; it is lost.
        """
        self.copier.finish()
        if not self._waiting:
            return
        name = f"tensors-{len(self.files):05}{SUFFIX}"
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        write_shard(self.directory / name, {place.key: value for place, value in waiting.items()})
        self.files[name] = list(waiting)
        mapped = read_shard(self.directory / name)
        for place in waiting:
            self._put(place, mapped[place.key])
