"""Files of tensors: written whole or not at all, and read without copying a byte before it is looked at."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hookframe.errors import CacheFileError

__all__ = ["SUFFIX", "file_digest", "read_facts", "read_shard", "replaced_whole", "write_shard"]

SUFFIX = ".safetensors"
_FACTS = "hookframe"  # only one key: with several their order in the file would differ from run to run
_CHUNK = 1 << 20


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to; at the end it takes the place of ``path``, and is on disk when this returns.

    A program killed at any moment leaves the file as it was before or as it is after. On an exception ``path`` stays.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # only POSIX can open a directory to put its entries on disk
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_shard(path: Path, tensors: Mapping[str, torch.Tensor], facts: str = "") -> None:
    """Write ``tensors`` to ``path``, whole or not at all; equal tensors and facts give equal bytes.

    :param facts: what :func:`read_facts` will return.
    :raises CacheFileError: if it cannot be written, or a tensor is of a kind that safetensors cannot hold.
    """
    try:
        ready = _ready(tensors)
        with replaced_whole(path) as part:
            save_file(ready, part, metadata={_FACTS: facts})
            part.chmod(
                stat.S_IMODE(path.parent.stat().st_mode) & 0o666
            )  # the library makes files that only their owner may read
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise CacheFileError(f"{str(path)!r} cannot be written: {error}") from error


def _ready(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """On the CPU, contiguous, and none with another's memory, as safetensors asks for."""
    ready: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if name == "__metadata__":
            raise ValueError("'__metadata__' is no name for a tensor in this format")
        if tensor.layout != torch.strided:
            kind = str(tensor.layout).removeprefix("torch.")
            raise ValueError(f"{name!r} is a sparse tensor ({kind}), which this format cannot hold: use its to_dense()")
        value = tensor.detach().cpu().contiguous()
        memory = value.untyped_storage().data_ptr()
        if memory in seen and value.numel():
            value = value.clone()
        seen.add(memory)
        ready[name] = value
    return ready


def read_shard(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in ``path``, mapped from the file: memory is used for what is looked at, and given back under pressure.

    Writing to one changes only this process's copy, not the file.

    :raises CacheFileError: if it is no such file, or cut short.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise CacheFileError(f"{str(path)!r} cannot be read: {error}") from error


def read_facts(path: Path) -> str:
    """What :func:`write_shard` wrote beside the tensors; ``""`` if another program wrote the file.

    :raises CacheFileError: if it is no such file, or cut short.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get(_FACTS, ""))
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise CacheFileError(f"{str(path)!r} cannot be read: {error}") from error


def file_digest(path: Path) -> str:
    """``sha256:`` and the digest of a file's bytes, read a piece at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
