"""Caches on disk: safetensors with a manifest. Reading runs no code, and stays inside the directory."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hookframe.admission.controller import current_controller
from hookframe.capture.captured import Captured, CaptureKey
from hookframe.capture.manifest import MANIFEST, CacheManifest, SavedFile, SavedStep, SavedTensor, dump
from hookframe.capture.provenance import model_facts, plugins_digest, policy_digest
from hookframe.capture.shards import SUFFIX, file_digest, read_shard, replaced_whole, write_shard
from hookframe.capture.step import Step
from hookframe.core.cache.activation_cache import ActivationCache, bytes_of
from hookframe.core.values.types import DeviceType
from hookframe.errors import CacheFileError
from hookframe.version import __version__

__all__ = ["load_cache", "save_cache", "write_manifest"]

_SHARD_BYTES = 256 << 20
_STEPS = f"steps{SUFFIX}"


def save_cache(cache: ActivationCache, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """The body of ``ActivationCache.save``."""
    target = Path(path)
    if target.exists() and not (overwrite and (target / MANIFEST).is_file()):
        remedy = (
            "pass overwrite=True to replace a saved cache" if not overwrite else "it holds no saved cache to replace"
        )
        raise CacheFileError(f"{os.fspath(path)!r} exists already, and was left as it is: {remedy}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}-{secrets.token_hex(8)}")
        fresh.mkdir()
    except OSError as error:
        raise CacheFileError(f"{os.fspath(path)!r} cannot be written: {error.strerror}") from error
    try:
        files: dict[str, list[str]] = {}
        for keys in _shards(cache):
            name = f"tensors-{len(files):05}{SUFFIX}"
            write_shard(fresh / name, {key: cache[key] for key in keys})
            files[name] = keys
        write_manifest(fresh, cache, files)
        if target.exists():
            shutil.rmtree(target)
        fresh.replace(target)
    except OSError as error:
        raise CacheFileError(f"{os.fspath(path)!r} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _shards(cache: ActivationCache) -> list[list[str]]:
    groups: list[list[str]] = []
    held = 0
    for key, value in cache.items():
        if not groups or held + bytes_of(value) > _SHARD_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(key)
        held += bytes_of(value)
    return groups


def write_manifest(
    directory: Path,
    cache: ActivationCache,
    files: Mapping[str, Sequence[str] | Sequence[CaptureKey]],
    *,
    complete: bool = True,
) -> None:
    """Write what :func:`load_cache` needs beside files of tensors that are there already.

    :param files: file → the keys, or the places, of what is in it.
    :param complete: False for a directory that is still being filled: it cannot be loaded until this is written again.
    :raises CacheFileError: if it cannot be written.
    """
    controller = current_controller() if cache.model is None else cache.model.controller
    steps = cache.steps if isinstance(cache, Captured) else None
    names = [*files]
    if steps is not None and any(step.positions is not None for step in steps):
        known = {str(s.index): s.positions for s in steps if s.positions is not None}
        write_shard(directory / _STEPS, known)
        names.append(_STEPS)
    saved = cache._saved
    manifest = CacheManifest(
        complete=complete,
        hookframe=__version__,
        model=model_facts(cache.model) if saved is None else saved.model,
        policy=policy_digest(controller) if saved is None else saved.policy,
        plugins=plugins_digest(controller) if saved is None else saved.plugins,
        files=tuple(_saved_file(directory / name) for name in names),
        tensors=tuple(_saved_tensor(cache, file, place) for file, places in files.items() for place in places),
        skipped=cache.skipped,
        stale=cache.stale,
        steps=None if steps is None else tuple(map(_saved_step, steps)),
        positions=cache.pos_dims if isinstance(cache, Captured) else {},
    )
    try:
        with replaced_whole(directory / MANIFEST) as part:
            part.write_bytes(dump(manifest))
    except OSError as error:
        raise CacheFileError(f"{str(directory)!r} cannot be written: {error.strerror}") from error


def _saved_file(path: Path) -> SavedFile:
    return SavedFile(name=path.name, nbytes=path.stat().st_size, digest=file_digest(path))


def _saved_tensor(cache: ActivationCache, file: str, where: str | CaptureKey) -> SavedTensor:
    key = cache.key_of(where) if isinstance(where, CaptureKey) and isinstance(cache, Captured) else str(where)
    value = cache[key]
    return SavedTensor(
        key=key,
        name=where.key if isinstance(where, CaptureKey) else key,
        file=file,
        shape=tuple(value.shape),
        dtype=str(value.dtype).removeprefix("torch."),
    )


def _saved_step(step: Step) -> SavedStep:
    return SavedStep(
        phase=step.phase,
        past=step.past,
        batch=step.batch,
        length=step.length,
        cut=step.cut,
        reordered=step.reordered,
    )


def load_cache(path: str | os.PathLike[str], *, device: DeviceType = None, verify: bool = False) -> ActivationCache:
    """The body of ``ActivationCache.load``."""
    directory = Path(path)
    manifest = CacheManifest.read(directory / MANIFEST)
    if not manifest.complete:
        raise CacheFileError(
            f"the capture that writes to {str(directory)!r} has not ended, or was interrupted by an exception or a kill: "
            "nothing says what its files hold; capture again, to an empty directory"
        )
    files = {file.name: _tensors_in(directory, file, verify) for file in manifest.files}
    items = {saved.key: _checked(saved, files[saved.file], device) for saved in manifest.tensors}
    cache = ActivationCache(items) if manifest.steps is None else Captured(items)
    if isinstance(cache, Captured):
        cache.steps = [_step(index, saved, files.get(_STEPS, {})) for index, saved in enumerate(manifest.steps or ())]
        cache.pos_dims = dict(manifest.positions)
    cache.skipped, cache.stale, cache._saved = dict(manifest.skipped), manifest.stale, manifest
    return cache


def _tensors_in(directory: Path, file: SavedFile, verify: bool) -> dict[str, torch.Tensor]:
    path = directory / file.name
    try:
        if path.is_symlink() or not path.is_file():
            raise CacheFileError(f"{str(path)!r} is not a plain file in its own directory")
        size = path.stat().st_size
    except OSError as error:
        raise CacheFileError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    if size != file.nbytes:
        raise CacheFileError(f"{str(path)!r} has {size:,} bytes, and the manifest says {file.nbytes:,}")
    if verify and file_digest(path) != file.digest:
        raise CacheFileError(f"{str(path)!r} is not the file that was saved: its digest is another one")
    return read_shard(path)


def _checked(saved: SavedTensor, tensors: Mapping[str, torch.Tensor], device: DeviceType) -> torch.Tensor:
    value = tensors.get(saved.name)
    if value is None:
        raise CacheFileError(f"{saved.file!r} holds no tensor {saved.name!r}, which the manifest lists")
    found = (tuple(value.shape), str(value.dtype).removeprefix("torch."))
    if found != (saved.shape, saved.dtype):
        raise CacheFileError(
            f"{saved.key!r} is {found} in {saved.file!r}, and {(saved.shape, saved.dtype)} in the manifest"
        )
    return value if device is None else value.to(device)


def _step(index: int, saved: SavedStep, positions: Mapping[str, Any]) -> Step:
    return Step(
        index=index,
        phase=saved.phase,
        past=saved.past,
        batch=saved.batch,
        length=saved.length,
        positions=positions.get(str(index)),
        cut=saved.cut,
        reordered=saved.reordered,
    )
