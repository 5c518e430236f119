"""What stands beside saved tensors: checked in full when it is read, and bounded in size and depth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from hookframe.extras import needing

with needing("capture", "capturing and saving activations"):
    from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from hookframe.admission.listing import listed
from hookframe.errors import CacheFileError

__all__ = ["MANIFEST", "CacheManifest", "Digest", "FileName", "ModelRecord", "SavedFile", "SavedStep", "SavedTensor"]

MANIFEST = "manifest.json"
_MOST_BYTES = 64 << 20

Text = Annotated[str, StringConstraints(max_length=4096)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.safetensors$")]
Count = Annotated[int, Field(ge=0, lt=1 << 62)]
_Facts = TypeVar("_Facts", bound="Facts")


class Facts(BaseModel):
    """Data from a file: no field too many, none of another type, and never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def read(cls: type[_Facts], path: Path, most: int = _MOST_BYTES) -> _Facts:
        """Read a JSON file.

        :raises CacheFileError: if it cannot be read, is longer than ``most`` bytes, or is anything else than these facts.
        """
        try:
            with path.open("rb") as file:
                text = file.read(most + 1)
        except OSError as error:
            raise CacheFileError(f"{str(path)!r} cannot be read: {error.strerror}") from error
        if len(text) > most:
            raise CacheFileError(f"{str(path)!r} is longer than {most:,} bytes, so hookframe did not write it")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise CacheFileError(f"{str(path)!r} is not what it should be: {mistakes(error)}") from error


def mistakes(error: ValidationError, most: int = 5) -> str:
    """What is wrong with data, in a line."""
    found = [f"{'.'.join(map(str, item['loc'])) or 'it'}: {item['msg']}" for item in error.errors(include_url=False)]
    return listed(found, most, "; ")


class ModelRecord(Facts):
    """Which model it was.

    :ivar kind: the name of its class.
    :ivar id: its name on a hub, if it says so; never a path of the machine that it was loaded on.
    :ivar revision: which version of that, if it says so.
    :ivar config: a digest of its configuration, where it has one and no name on a hub.
    """

    kind: Text
    id: Text | None = None
    revision: Text | None = None
    config: Digest | None = None


class SavedFile(Facts):
    """One file of tensors, in the manifest's own directory."""

    name: FileName
    nbytes: Count
    digest: Digest


class SavedTensor(Facts):
    """One tensor of the cache: its key there, and its name in the file."""

    key: Text
    name: Text
    file: FileName
    shape: Annotated[tuple[Count, ...], Field(max_length=64)]
    dtype: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,40}$")]


class SavedStep(Facts):
    """One forward of a capture; see :class:`~hookframe.capture.step.Step`."""

    phase: Literal["prompt", "decode"]
    past: Count
    batch: Count | None
    length: Count | None
    cut: Count = 0
    reordered: bool = False

    @model_validator(mode="after")
    def _keeps_some(self) -> Self:
        if self.cut and self.cut >= (self.length or 0):
            raise ValueError(f"a step of {self.length} positions has {self.cut} cut")
        return self


class CacheManifest(Facts):
    """What a directory with a saved cache holds.

    :ivar policy: the digest of the policy in force when it was saved, if there was one.
    :ivar plugins: the digest of the set of plugins at work then.
    :ivar complete: False while a capture writes beside it; it stays so if that is interrupted.
    :ivar steps: the forwards of a capture; None for the cache of one run.
    :ivar positions: name → the dimension that is the position, where a point says so.
    """

    format: Literal["hookframe-cache"] = "hookframe-cache"
    version: Literal[1] = 1
    complete: bool = True
    hookframe: Text
    model: ModelRecord
    policy: Digest | None = None
    plugins: Digest | None = None
    files: Annotated[tuple[SavedFile, ...], Field(max_length=100_000)]
    tensors: Annotated[tuple[SavedTensor, ...], Field(max_length=1_000_000)]
    skipped: dict[Text, Text] = {}
    stale: tuple[Text, ...] = ()
    steps: tuple[SavedStep, ...] | None = None
    positions: dict[Text, int] = {}

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        files = [file.name for file in self.files]
        keys = [tensor.key for tensor in self.tensors]
        if len(set(files)) != len(files) or len(set(keys)) != len(keys):
            raise ValueError("a file or a key is there twice")
        strange = {tensor.file for tensor in self.tensors} - set(files)
        if strange:
            raise ValueError(f"tensors are in files that it does not list: {sorted(strange)[:3]}")
        return self


def dump(facts: Facts) -> bytes:
    """``facts`` as JSON, one field a line, as :meth:`Facts.read` takes them."""
    return facts.model_dump_json(indent=1).encode() + b"\n"
