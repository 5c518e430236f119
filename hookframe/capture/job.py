"""Thousands of texts to shards on disk: a capture that may be killed at any moment and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hookframe.extras import needing

with needing("capture", "capturing texts"):
    from filelock import FileLock, Timeout

from hookframe.capture.captured import Captured, CaptureKey, too_large
from hookframe.capture.job_record import RECORD, CompleteCapture, JobRecord, ShardFacts, committed_shards, shard_name
from hookframe.capture.manifest import MANIFEST, SavedFile, dump
from hookframe.capture.naming import names_of
from hookframe.capture.provenance import model_facts, plugins_digest, policy_digest
from hookframe.capture.shards import SUFFIX, file_digest, replaced_whole, write_shard
from hookframe.capture.text_model import TextModel, weights_digest
from hookframe.capture.texts import TextFile, TextSurvey
from hookframe.core.values.text import folded
from hookframe.errors import CacheFileError, CaptureInputError
from hookframe.instrumenting.attention import IMPLEMENTATION, implementation_of
from hookframe.version import __version__

__all__ = ["CaptureJob", "Progress", "refuse_nothing"]

MASK = "mask"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a capture is.

    :ivar rows: texts whose activations are on disk.
    :ivar nbytes: bytes of these activations on disk.
    """

    rows: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureJob:
    """What to capture, and where to.

    The capture adds shards to a directory, each with whole batches. A shard that is there is complete; everything
    else is thrown away and done again. So the capture can be killed at any moment, and called again: no row is lost
    or doubled, and the shards are those of an uninterrupted capture. It holds one shard in memory, however many texts
    there are.

    :ivar names: names of hook points, or globs on them.
    :ivar batch_size: texts to a forward.
    :ivar shard_bytes: a shard is closed as soon as it holds so many bytes of activations.
    :ivar max_bytes: the most bytes of activations on disk; None for any amount.
    """

    model: TextModel
    names: Sequence[str]
    texts: TextFile
    out: Path
    batch_size: int = 32
    shard_bytes: int = 32 << 20
    max_bytes: int | None = None
    _survey: list[TextSurvey] = field(default_factory=list, init=False, repr=False)

    @property
    def survey(self) -> TextSurvey:
        """What the file of texts holds; it is read for it once."""
        if not self._survey:
            self._survey.append(self.texts.survey())
        return self._survey[0]

    def record(self) -> JobRecord:
        """Everything that the shards depend on.

        :raises UnknownHookPoint: if a name is not there, or a glob matches none.
        :raises CaptureInputError: if a text cannot be used.
        """
        root = self.model.root
        return JobRecord(
            hookframe=__version__,
            model=model_facts(root),
            weights=weights_digest(root),
            attention=_attention_of(root.forward_module),
            device=next((value.device.type for value in root.parameters()), "cpu"),
            policy=policy_digest(root.controller),
            plugins=plugins_digest(root.controller),
            points=tuple(str(name) for name in names_of(root.select_points(list(self.names)))),
            texts=self.texts.path.name,
            texts_digest=self.survey.digest,
            rows=self.survey.rows,
            batch_size=self.batch_size,
            shard_bytes=self.shard_bytes,
        )

    def run(self, tell: Callable[[Progress], None] = lambda progress: None) -> Progress:
        """Capture what is not captured yet.

        :param tell: called at the start and after each shard.
        :returns: the whole that is on disk.
        :raises HookDenied: if the admission refuses; nothing was written, and shards that were complete stay.
        :raises CaptureInputError: if ``out`` holds another capture, another process is writing to it, or each of the points
            was left out.
        :raises CacheTooLarge: before a shard that would pass ``max_bytes`` is written.
        :raises CacheFileError: if a shard cannot be written.
        """
        record = self.record()
        # first, so that what is refused leaves no trace on disk
        with self.model.root.capture(list(self.names), device="cpu") as cache:
            refuse_nothing(record.points, cache.skipped)
        lock = FileLock(self.out / ".lock", timeout=0)
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise CaptureInputError(
                f"another process is capturing to {str(self.out)!r}: wait until it has ended"
            ) from error
        except OSError as error:
            raise CacheFileError(f"{str(self.out)!r} cannot be written: {error.strerror}") from error
        try:
            return self._run(record, tell)
        finally:
            lock.release()

    def _run(self, record: JobRecord, tell: Callable[[Progress], None]) -> Progress:
        self._take_up(record)
        done = committed_shards(self.out, record)
        progress = Progress(done[-1].end if done else 0, sum(facts.nbytes for facts in done))
        tell(progress)
        batches = self.texts.batches(self.batch_size, progress.rows)
        while progress.rows < record.rows:
            facts = self._capture_shard(record, len(done), progress, batches)
            done.append(facts)
            progress = Progress(facts.end, progress.nbytes + facts.nbytes)
            tell(progress)
        files = [self.out / shard_name(facts.index) for facts in done]
        saved = [SavedFile(name=f.name, nbytes=f.stat().st_size, digest=file_digest(f)) for f in files]
        with replaced_whole(self.out / MANIFEST) as part:
            part.write_bytes(dump(CompleteCapture(record=record.digest, rows=progress.rows, files=tuple(saved))))
        return progress

    def _take_up(self, record: JobRecord) -> None:
        """Begin, or go on with what is there, if it is the same capture."""
        path = self.out / RECORD
        begun = any(self.out.glob(f"*{SUFFIX}"))
        if begun and not path.exists():
            raise CaptureInputError(f"{str(self.out)!r} holds other tensors: capture to an empty directory")
        differences = record.differences(JobRecord.read(path)) if begun else []
        if differences:
            raise CaptureInputError(
                f"{str(self.out)!r} holds another capture, which differs in {', '.join(differences)}: capture to "
                "another directory, or remove it"
            )
        if not begun:
            with replaced_whole(path) as part:
                part.write_bytes(dump(record))

    def _capture_shard(
        self, record: JobRecord, index: int, progress: Progress, batches: Iterator[list[str]]
    ) -> ShardFacts:
        masks: list[torch.Tensor] = []
        first = rows = progress.rows
        capture = self.model.root.capture(list(self.names), device="cpu")
        with capture as cache, torch.no_grad():
            for texts in batches:
                inputs = self.model.encode(texts)
                if len(inputs.mask) != len(texts):
                    raise CaptureInputError(f"encode made {len(inputs.mask)} rows of {len(texts)} texts")
                self.model.root(**inputs.arguments)
                masks.append(inputs.mask.bool().cpu())
                rows += len(texts)
                if cache.held >= self.shard_bytes:
                    break
        if rows == first or len(cache.steps) != len(masks):
            raise CaptureInputError(
                f"{str(self.texts.path)!r} was changed while it was read"
                if rows == first
                else f"{len(masks)} calls of the model ran {len(cache.steps)} forwards, so rows cannot be told apart"
            )
        facts = ShardFacts(record=record.digest, index=index, first=first, end=rows, nbytes=cache.held)
        if self.max_bytes is not None and progress.nbytes + facts.nbytes > self.max_bytes:
            raise too_large(f"shard {index} with {facts.nbytes:,} bytes", progress.nbytes, self.max_bytes)
        tensors = _tensors(cache, masks, first, self.batch_size)
        cache.clear()
        write_shard(self.out / shard_name(index), tensors, facts.model_dump_json())
        return facts


def _attention_of(model: torch.nn.Module) -> str | None:
    used = implementation_of(model)
    return ("eager" if used == IMPLEMENTATION else used) if isinstance(used, str) else None


def refuse_nothing(points: Collection[str], skipped: Mapping[str, str]) -> None:
    """Refuse a capture of which nothing is left.

    :raises CaptureInputError: if each of ``points`` was left out; with the reasons.
    """
    if set(points) <= set(skipped):
        raise CaptureInputError(f"nothing is captured, as all was left out: {'; '.join(folded(skipped))}")


def _tensors(cache: Captured, masks: Sequence[torch.Tensor], first: int, batch_size: int) -> dict[str, torch.Tensor]:
    """The tensors of a shard: ``point/row`` and ``mask/row``, with the number of the batch's first row."""
    found: dict[str, torch.Tensor] = {}
    for key, value in cache.items():
        place = CaptureKey.of(key)
        name = f"{place.name}:{place.call}" if place.call else place.name
        found[f"{name}/{first + place.step * batch_size:09}"] = value
    return found | {f"{MASK}/{first + step * batch_size:09}": mask for step, mask in enumerate(masks)}
