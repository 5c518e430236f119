"""A distribution's files against its RECORD: which changed, which are gone, and which were added later."""

from __future__ import annotations

import csv
import hashlib
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hookframe.admission.listing import listed
from hookframe.host.installed.distribution import PluginDistribution, module_of
from hookframe.host.installed.metadata import UNREADABLE, directory_of, read_file
from hookframe.host.installed.modules import locate
from hookframe.host.installed.origin import OriginKind

__all__ = ["FileCheck", "RecordedFile", "check_files", "recorded_files", "verified_files"]

_OF_THE_INSTALLER = frozenset(
    (
        "RECORD",
        "RECORD.jws",
        "RECORD.p7s",
        "INSTALLER",
        "REQUESTED",
        "direct_url.json",
        "uv_cache.json",
        "uv_build.json",
    )
)  # written at installation: they differ from machine to machine
_WEAK = frozenset(("md5", "sha1"))
_MOST = 1 << 30  # bytes of all files of a distribution: they are held while they are compared


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One line of RECORD.

    :ivar path: relative to the directory that the distribution was installed into.
    :ivar digest: as ``algorithm=value``; empty for files that RECORD knows without one.
    """

    path: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck:
    """What a comparison of files with RECORD found.

    :ivar checked: how many files were compared.
    :ivar changed: files with another content.
    :ivar missing: files that are not there.
    :ivar unknown: files in the distribution's own packages that RECORD does not know.
    :ivar unhashed: files that RECORD knows without a digest that can be relied on; compiled files are not counted.
    :ivar elsewhere: entry points whose module would be imported from a file that is not the distribution's.
    :ivar impossible: why nothing can be compared, None if it can.
    :ivar digest: one digest over all that RECORD says, to pin the distribution by; None if nothing can be compared.
    """

    checked: int = 0
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unhashed: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    impossible: str | None = None
    digest: str | None = None

    @property
    def findings(self) -> dict[str, tuple[str, ...]]:
        """Kind of finding → files, for the kinds that were found."""
        kinds = ("changed", "missing", "unknown", "unhashed", "elsewhere")
        return {kind: getattr(self, kind) for kind in kinds if getattr(self, kind)}

    @property
    def intact(self) -> bool:
        """True if everything was compared and agrees."""
        return self.impossible is None and not self.findings

    def describe(self, limit: int = 3) -> str:
        """What was found, as a phrase."""
        if self.impossible is not None:
            return f"its files cannot be verified: {self.impossible}"
        if self.intact:
            return f"{self.checked} files match RECORD"
        return "; ".join(f"{kind}: {listed(files, limit)}" for kind, files in self.findings.items())


def recorded_files(distribution: PluginDistribution) -> tuple[RecordedFile, ...] | None:
    """What RECORD says; None if there is none.

    :raises OSError: if it may not be read.
    :raises UnicodeDecodeError: if it is no text.
    """
    text = read_file(distribution.source, "RECORD")
    if text is None:
        return None
    rows = [row for row in csv.reader(text.splitlines()) if row]
    return tuple(RecordedFile(row[0], row[1] if len(row) > 1 else "") for row in rows)


def check_files(distribution: PluginDistribution) -> FileCheck:
    """Compare the files with RECORD."""
    return verified_files(distribution)[0]


def verified_files(distribution: PluginDistribution) -> tuple[FileCheck, dict[str, bytes]]:
    """Compare the files with RECORD, and return the bytes of those that agree, by their path in RECORD.

    Each file is read once: what is returned is what was compared.
    """
    try:
        recorded = recorded_files(distribution)
    except (*UNREADABLE, csv.Error) as error:
        return FileCheck(impossible=f"its RECORD cannot be read ({type(error).__name__})"), {}
    directory = directory_of(distribution.source)
    impossible = _why_impossible(distribution, recorded, directory)
    if impossible is not None or recorded is None or directory is None:
        return FileCheck(impossible=impossible), {}
    return _compared(distribution, recorded, Path(directory))


def _why_impossible(
    distribution: PluginDistribution, recorded: tuple[RecordedFile, ...] | None, directory: str | None
) -> str | None:
    if distribution.origin.kind is OriginKind.EDITABLE:
        return "it is an editable install, whose source files RECORD does not know"
    if recorded is None or directory is None:
        return "it has no RECORD"
    return None


def _compared(
    distribution: PluginDistribution, recorded: tuple[RecordedFile, ...], directory: Path
) -> tuple[FileCheck, dict[str, bytes]]:
    root = directory.parent
    known = {file.path for file in recorded}
    hashed, unhashed = _split(recorded, directory.name)
    size = sum(_size(root / file.path) for file in hashed)
    if size > _MOST:
        return FileCheck(impossible=f"its files have {size:,} bytes, and at most {_MOST:,} are compared"), {}
    contents = {file.path: _read(root / file.path) for file in hashed}
    sound = {f.path: content for f in hashed if (content := contents[f.path]) is not None and _agrees(f, content)}
    check = FileCheck(
        checked=len(hashed),
        changed=tuple(file.path for file in hashed if contents[file.path] is not None and file.path not in sound),
        missing=tuple(path for path, content in contents.items() if content is None),
        unknown=tuple(_unknown(root, known, directory.name)),
        unhashed=unhashed,
        elsewhere=tuple(_elsewhere(distribution, root, known)),
        digest=_digest(hashed, directory.name),
    )
    return check, sound


def _split(recorded: Iterable[RecordedFile], metadata: str) -> tuple[list[RecordedFile], tuple[str, ...]]:
    """Files with a digest to rely on; and the paths of those without, but for the files that never have one."""
    hashed, unhashed = [], []
    for file in recorded:
        algorithm = file.digest.partition("=")[0]
        if algorithm in hashlib.algorithms_guaranteed - _WEAK and not algorithm.startswith("shake"):
            hashed.append(file)
        elif not _is_compiled(file.path) and file.path not in (f"{metadata}/{name}" for name in _OF_THE_INSTALLER):
            unhashed.append(file.path)
    return hashed, tuple(unhashed)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes() if file.is_file() else None
    except OSError:
        return None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _agrees(file: RecordedFile, content: bytes) -> bool:
    algorithm, _, expected = file.digest.partition("=")
    digest = hashlib.new(algorithm, content).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=") == expected.rstrip("=")


def _digest(hashed: Iterable[RecordedFile], metadata: str) -> str:
    """A digest over the lines of RECORD that are equal wherever the wheel is installed; those of scripts are not."""
    left_out = {f"{metadata}/{name}" for name in _OF_THE_INSTALLER}
    lines = [
        f"{file.path},{file.digest}"
        for file in hashed
        if file.path not in left_out and not file.path.startswith(("../", "/"))
    ]
    return "sha256:" + hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _is_compiled(path: str) -> bool:
    return path.endswith(".pyc") and "__pycache__" in path.split("/")


def _unknown(root: Path, known: set[str], metadata: str) -> Iterator[str]:
    """Files in the distribution's own regular packages, and beside its metadata, that RECORD does not know.

    A namespace package is not searched: what else lies there may belong to others.
    """
    packages = {
        path.rpartition("/")[0] for path in known if path.endswith("/__init__.py") and not path.startswith("..")
    }
    tops = {p for p in packages if not any(p.startswith(f"{other}/") for other in packages)}
    for top in sorted({*tops, metadata}):
        for place, directories, files in os.walk(root / top):
            links = [name for name in directories if (Path(place) / name).is_symlink()]
            for name in sorted([*files, *links]):
                path = (Path(place) / name).relative_to(root).as_posix()
                unsigned = path in (f"{metadata}/{installer}" for installer in _OF_THE_INSTALLER)
                if path not in known and not _is_compiled(path) and not unsigned:
                    yield path


def _elsewhere(distribution: PluginDistribution, root: Path, known: set[str]) -> Iterator[str]:
    """Modules of entry points that Python would import from another distribution: the compared files are not used."""
    own = {os.path.realpath(root / path) for path in known}
    for module in sorted(filter(None, map(module_of, distribution.entry_points))):
        spec = locate(module)
        if spec is not None and spec.has_location and os.path.realpath(spec.origin or "") not in own:
            yield f"{module} is imported from {spec.origin}"
