"""How many bytes a capture of texts will write, from the lengths of the texts and the shapes that the model makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hookframe.capture.job import CaptureJob, refuse_nothing
from hookframe.capture.text_model import TextInputs
from hookframe.errors import EstimateError

__all__ = ["JobEstimate", "estimate_job"]

_EXACT = 10  # up to so many sizes of batches are each traced; of more, only these, and the others follow from them


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEstimate:
    """What a capture will write.

    :ivar points: the hook points whose activations are kept.
    :ivar rows: how many texts.
    :ivar batches: how many forwards.
    :ivar nbytes: bytes of activations.
    """

    points: tuple[str, ...]
    rows: int
    batches: int
    nbytes: int


def estimate_job(job: CaptureJob) -> JobEstimate:
    """Read and encode all texts, and tell what they will come to; the model computes nothing.

    Attaches the hooks as the capture will, so that admission refuses here what it would refuse there.

    :raises EstimateError: if the bytes cannot be told without running the model.
    :raises HookDenied: if the admission refuses, which is told the bytes.
    :raises CaptureInputError: if a text cannot be used, or each of the points was left out.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    example: TextInputs | None = None
    for texts in job.texts.batches(job.batch_size):
        inputs = job.model.encode(texts)
        example = example or inputs
        sizes[inputs.mask.shape[0], inputs.mask.shape[1]] += 1
    rows = sum(batch * count for (batch, _), count in sizes.items())
    capture = job.model.root.capture(list(job.names), device="cpu")
    with capture as cache:
        refuse_nothing([selected.name for selected in job.model.root.select_points(list(job.names))], cache.skipped)
        if example is None:
            return JobEstimate(points=(), rows=0, batches=0, nbytes=0)
        points: dict[str, None] = {}
        known: dict[tuple[int, int], int] = {}
        for size in _spread(sorted(sizes)):
            estimate = capture.trace(**_like(example, size))
            known[size] = estimate.nbytes
            points.update(dict.fromkeys(point.name for point in estimate.points))
        for size in set(sizes) - set(known):
            known[size] = -1
        missing = [size for size, nbytes in known.items() if nbytes < 0]
        if missing:
            known = _completed({s: n for s, n in known.items() if n >= 0}, missing)
        cache.steps.clear()
        total = sum(known[size] * count for size, count in sizes.items())
        capture.review(total)
    return JobEstimate(points=tuple(points), rows=rows, batches=sum(sizes.values()), nbytes=total)


def _spread(sizes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """All sizes if they are few, else some from the smallest to the largest."""
    if len(sizes) <= _EXACT:
        return sizes
    by_batch: dict[int, list[tuple[int, int]]] = {}
    for size in sizes:
        by_batch.setdefault(size[0], []).append(size)
    few: set[tuple[int, int]] = set()
    for group in by_batch.values():  # one for the whole batches, and perhaps one for the last
        few.update(group[round(place)] for place in np.linspace(0, len(group) - 1, min(len(group), _EXACT - 1)))
    return sorted(few)


def _completed(known: Mapping[tuple[int, int], int], missing: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Bytes for the missing sizes: for one number of rows they are a polynomial of degree 2 in the positions.

    :raises EstimateError: if the known ones lie on none.
    """
    found = dict(known)
    for batch in {size[0] for size in missing}:
        lengths = [size[1] for size in known if size[0] == batch]
        nbytes = [known[batch, length] for length in lengths]
        terms = np.polynomial.Polynomial.fit(lengths, nbytes, 2)
        if max(abs(terms(length) - size) for length, size in zip(lengths, nbytes, strict=True)) > 0.01 * max(nbytes):
            raise EstimateError(
                "bytes do not follow from the lengths of texts: capture with max_bytes, which holds anyway"
            )
        found |= {(batch, size[1]): round(float(terms(size[1]))) for size in missing if size[0] == batch}
    return found


def _like(example: TextInputs, size: tuple[int, int]) -> dict[str, Any]:
    """The arguments of a call with a batch of another size; what they hold does not matter."""
    shape = tuple(example.mask.shape)
    made: dict[str, Any] = {}
    for name, value in example.arguments.items():
        if not isinstance(value, torch.Tensor):
            made[name] = value
        elif tuple(value.shape) == shape:
            made[name] = torch.zeros(size, dtype=value.dtype, device=value.device)
        elif shape == size:
            made[name] = value
        else:
            raise EstimateError(f"argument {name!r} has shape {list(value.shape)}, not that of the texts {list(shape)}")
    return made
