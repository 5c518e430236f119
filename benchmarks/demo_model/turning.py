"""Measure how well steering turns the mood: ``python -m benchmarks.demo_model.turning [--count N] [--temperature T]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from hookframe.demo.grammar import Mood, is_sentence, opening, sentences, write_reports
from hookframe.demo.model import DemoTransformer, load_demo
from hookframe.demo.steering import COEFFICIENT, LAYER, continuation, mood_score, mood_vector, resid_post, steering_hook

__all__ = ["TEMPERATURE", "Turning", "main", "prompts", "turning"]

TEMPERATURE: Final = 0.5
"""Greedy text (0) is the same after many prompts, which would make a hundred of them look like more than they are."""

_SEED = 700_003  # no training step, held-out report or steering vector uses it


@dataclass(frozen=True, slots=True, kw_only=True)
class Turning:
    """What was measured over some prompts of one mood, as shares from 0 to 1.

    :ivar bright: continuations with more bright words than gloomy ones.
    :ivar gloomy: continuations with more gloomy words than bright ones.
    :ivar fluent: sentences that the grammar could have written, the cut off last one of a full context included.
    :ivar distinct: continuations that differ from all others.
    """

    count: int
    bright: float
    gloomy: float
    fluent: float
    distinct: float


def prompts(mood: Mood, count: int) -> list[str]:
    """Return opening sentences of fresh reports in one mood."""
    return [opening(report) for report in write_reports(count, seed=_SEED, mood=mood)]


def turning(
    model: DemoTransformer,
    mood: Mood,
    vector: Tensor,
    coefficient: float,
    *,
    count: int = 50,
    temperature: float = TEMPERATURE,
) -> Turning:
    """Continue `count` prompts of a mood, with ``coefficient * vector`` added after :data:`LAYER`, and count."""
    hook = (resid_post(LAYER), steering_hook(vector, coefficient))
    with model.hooks(fwd_hooks=[hook]):
        texts = [
            continuation(model, prompt, temperature=temperature, seed=seed)
            for seed, prompt in enumerate(prompts(mood, count))
        ]
    return _judge(texts)


def _judge(texts: Sequence[str]) -> Turning:
    scores = [mood_score(text) for text in texts]
    fluent = [is_sentence(sentence) for text in texts for sentence in sentences(text)]
    return Turning(
        count=len(texts),
        bright=sum(score > 0.5 for score in scores) / len(texts),
        gloomy=sum(score < 0.5 for score in scores) / len(texts),
        fluent=sum(fluent) / len(fluent),
        distinct=len(set(texts)) / len(texts),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each mood of the prompts and each way to steer."""
    parser = argparse.ArgumentParser(description="Measure how well steering turns the demo model's mood.")
    parser.add_argument("--count", type=int, default=100, help="prompts of each mood")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    parser.add_argument("--coefficient", type=float, default=COEFFICIENT)
    options = parser.parse_args(arguments)
    model = load_demo()
    vector = mood_vector(model)
    moods: tuple[tuple[Mood, int], ...] = (("bright", -1), ("gloomy", +1))
    for mood, sign in moods:
        for coefficient in (0.0, sign * options.coefficient):
            found = turning(model, mood, vector, coefficient, count=options.count, temperature=options.temperature)
            sys.stdout.write(f"{mood} prompts, coefficient {coefficient:+.2f}: {found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
