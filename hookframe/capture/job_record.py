"""What a capture of texts writes beside its shards: what it is, how far it is, and that it is complete."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from hookframe.extras import needing

with needing("capture", "capturing texts"):
    from pydantic import Field, ValidationError

from hookframe.capture.manifest import Count, Digest, Facts, ModelRecord, SavedFile, Text, mistakes
from hookframe.capture.shards import SUFFIX, read_facts
from hookframe.errors import CaptureInputError

__all__ = ["RECORD", "CompleteCapture", "JobRecord", "ShardFacts", "committed_shards", "shard_name"]

RECORD = "capture.json"
_INFORMATIVE = frozenset({"hookframe", "policy", "plugins", "texts"})  # what may differ when the capture goes on


class JobRecord(Facts):
    """What a capture is: everything that its shards depend on, and what was in force when it began.

    :ivar weights: a digest of the model's weights.
    :ivar attention: the attention function that the model uses, if it says so.
    :ivar device: the type of the device that computes; others round otherwise.
    :ivar points: the hook points, in the model's order.
    :ivar texts: the name of the file of texts.
    :ivar rows: how many texts.
    """

    format: Literal["hookframe-capture"] = "hookframe-capture"
    version: Literal[1] = 1
    hookframe: Text
    model: ModelRecord
    weights: Digest
    attention: Text | None = None
    device: Text = "cpu"
    policy: Digest | None
    plugins: Digest | None
    points: Annotated[tuple[Text, ...], Field(max_length=1_000_000)]
    texts: Text
    texts_digest: Digest
    rows: Count
    batch_size: Count
    shard_bytes: Count

    @property
    def digest(self) -> str:
        """A digest of what the shards depend on."""
        text = self.model_dump_json(exclude=set(_INFORMATIVE))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def differences(self, other: JobRecord) -> list[str]:
        """The names of the fields that make two captures different ones."""
        names = [name for name in type(self).model_fields if name not in _INFORMATIVE]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


class ShardFacts(Facts):
    """What a shard says of itself.

    :ivar record: the digest of the capture it belongs to.
    :ivar first: its first row.
    :ivar end: the row after its last.
    :ivar nbytes: bytes of the activations in it.
    """

    record: Digest
    index: Count
    first: Count
    end: Count
    nbytes: Count


class CompleteCapture(Facts):
    """Written last: every shard is there.

    :ivar record: the digest of the capture.
    """

    format: Literal["hookframe-capture-complete"] = "hookframe-capture-complete"
    version: Literal[1] = 1
    record: Digest
    rows: Count
    files: Annotated[tuple[SavedFile, ...], Field(max_length=10_000_000)]


def shard_name(index: int) -> str:
    """The file of a shard."""
    return f"shard-{index:06}{SUFFIX}"


def committed_shards(directory: Path, record: JobRecord) -> list[ShardFacts]:
    """The shards of the capture ``record`` that are there, in order.

    :raises CaptureInputError: if one is missing between others, or is none of this capture's.
    :raises CacheFileError: if one cannot be read.
    """
    done: list[ShardFacts] = []
    for index in range(len(list(directory.glob(f"shard-*{SUFFIX}")))):
        path = directory / shard_name(index)
        if path.is_symlink():
            raise CaptureInputError(f"{str(path)!r} is not a plain file in its own directory: remove it")
        if not path.is_file():
            raise CaptureInputError(
                f"{str(path)!r} is missing, and later shards are there: restore it, or remove those"
            )
        try:
            facts = ShardFacts.model_validate_json(read_facts(path))
        except ValidationError as error:
            raise CaptureInputError(f"{str(path)!r} is no shard of a capture: {mistakes(error)}") from error
        if (facts.record, facts.index, facts.first) != (record.digest, index, done[-1].end if done else 0):
            raise CaptureInputError(f"{str(path)!r} is a shard of another capture: remove it")
        done.append(facts)
    return done
