"""Looking for a generated request that a validator raises at."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from hookframe.testing.conformance.asking import Answer, Asker
from hookframe.testing.conformance.samples import Batch
from hookframe.testing.conformance.strategies import batches

__all__ = ["EXAMPLES", "first_raising"]

EXAMPLES = 100
"""So many requests of each kind are generated; the same ones every time."""


class _RaisedError(Exception):
    """The validator raised at the batch that was generated last."""


def first_raising(asker: Asker, model: Any) -> tuple[Batch, Answer] | None:
    """The smallest generated batch that a validator raises at, and what it raised; None if there is none."""
    for spec in asker.impls:
        found = _raising(asker, spec, model)
        if found is not None:
            return found
    return None


def _raising(asker: Asker, spec: str, model: Any) -> tuple[Batch, Answer] | None:
    seen: list[tuple[Batch, Answer]] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(batch=batches(spec))
    def attempt(batch: Batch) -> None:
        answer = asker.ask(batch, model if asker.impls[spec].asks_for_model else None)
        if "raised" in answer:
            seen[:] = [(batch, answer)]
            raise _RaisedError

    try:
        attempt()
    except Exception:
        if not seen:
            raise
    return seen[0] if seen else None
