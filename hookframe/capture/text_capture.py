"""Reading what ``hookframe capture`` wrote: batches and rows, mapped from the shards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from hookframe.capture.job import MASK
from hookframe.capture.job_record import RECORD, CompleteCapture, JobRecord, committed_shards, shard_name
from hookframe.capture.manifest import MANIFEST
from hookframe.capture.shards import file_digest, read_shard
from hookframe.core.cache.activation_cache import ActivationCache
from hookframe.errors import CaptureInputError

__all__ = ["CapturedBatch", "TextCapture"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CapturedBatch:
    """One batch of a capture.

    :ivar first: the number of its first row.
    :ivar cache: its activations.
    :ivar mask: bool ``[batch, pos]``: True for tokens, False for padding.
    """

    first: int
    cache: ActivationCache
    mask: torch.Tensor


class TextCapture:
    """A directory that ``hookframe capture`` filled.

    :param path: the directory.
    :param verify: compare every shard with the digest that was taken of it.
    :ivar record: what was captured, from which texts, by which model.
    :ivar complete: False if the capture has to be gone on with; what is there can be read.
    :raises CacheFileError: if it is no such directory, or a file is not what it should be.
    :raises CaptureInputError: if shards are missing, or are another capture's.
    """

    def __init__(self, path: str | os.PathLike[str], *, verify: bool = False) -> None:
        self.path = Path(path)
        self.record = JobRecord.read(self.path / RECORD)
        self._shards = committed_shards(self.path, self.record)
        self.complete = (self.path / MANIFEST).is_file()
        if self.complete:
            self._check_complete(verify)

    def _check_complete(self, verify: bool) -> None:
        whole = CompleteCapture.read(self.path / MANIFEST)
        names = [shard_name(facts.index) for facts in self._shards]
        if (
            whole.record != self.record.digest
            or [file.name for file in whole.files] != names
            or len(self) != whole.rows
        ):
            raise CaptureInputError(f"{str(self.path)!r} has not the shards that its manifest lists: capture again")
        for file in whole.files if verify else ():
            if file_digest(self.path / file.name) != file.digest:
                raise CaptureInputError(f"{str(self.path / file.name)!r} is not the file that was written")

    def __len__(self) -> int:
        """How many rows are there."""
        return self._shards[-1].end if self._shards else 0

    def batches(self) -> Iterator[CapturedBatch]:
        """The batches in the order of the texts, a shard open at a time."""
        for facts in self._shards:
            file = self.path / shard_name(facts.index)
            tensors = read_shard(file)
            starts = sorted({_row_of(file, name) for name in tensors})
            for first in starts:
                end = f"/{first:09}"
                found = {name.removesuffix(end): value for name, value in tensors.items() if name.endswith(end)}
                if MASK not in found:
                    raise CaptureInputError(f"{str(file)!r} does not say which tokens of row {first} are padding")
                mask = found.pop(MASK)
                order = {name: place for place, name in enumerate(self.record.points)}
                names = sorted(found, key=lambda name: order.get(name, len(order)))
                yield CapturedBatch(first=first, cache=ActivationCache({n: found[n] for n in names}), mask=mask)

    def rows(self, name: str, layer: int | None = None, part: str | None = None) -> Iterator[torch.Tensor]:
        """One activation of each text without its padding, ``[tokens, ...]``, in the order of the texts.

        The look-up is that of a cache; the activation has shape ``[batch, pos, ...]``.
        """
        for batch in self.batches():
            value = batch.cache[name] if layer is None and part is None else batch.cache[name, layer, part]
            for row, kept in zip(value, batch.mask, strict=True):
                yield row[kept]


def _row_of(file: Path, name: str) -> int:
    """The first row of the batch that a tensor in a shard is of."""
    digits = name.rpartition("/")[2]
    if not (9 <= len(digits) <= 18 and digits.isascii() and digits.isdigit()):
        raise CaptureInputError(
            f"{str(file)!r} holds {name[:100]!r}, and a capture's tensors end in the number of a row"
        )
    return int(digits)
