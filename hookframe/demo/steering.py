"""Steering: turn the mood of what the demo model writes, by adding one vector to its residual stream.

The vector is a difference of means (activation addition; Turner et al. 2023, arXiv:2308.10248; Rimsky et al. 2023,
arXiv:2312.06681): what the residual stream holds at the end of bright texts, less what it holds at the end of gloomy ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from hookframe.core.model.hook_point import HookPoint
from hookframe.demo.grammar import Mood, decode, encode, mood_words, words_of, write_reports
from hookframe.demo.model import DemoTransformer, generate

__all__ = ["COEFFICIENT", "LAYER", "continuation", "mood_score", "mood_vector", "resid_post", "steering_hook"]

LAYER: Final = 0
COEFFICIENT: Final = 1.75

_LAST = 8  # plain tokens of each text to average over
_SEED = 500_009  # neither training nor the held-out reports use it


def resid_post(layer: int) -> str:
    """Return the name of the hook point where the residual stream leaves a layer."""
    return f"blocks.{layer}.hook_resid_post"


def mood_vector(model: DemoTransformer, layer: int = LAYER, *, count: int = 64) -> Tensor:
    """Return the vector ``[d_model]`` that points from gloomy to bright in the residual stream after a layer.

    It is the mean over `count` bright reports, less the mean over the same reports in gloomy words. Of each report the
    last eight tokens count that are no mood words: what the model inferred, and not the words that it read.
    """
    return _mean_residual(model, layer, "bright", count) - _mean_residual(model, layer, "gloomy", count)


def steering_hook(vector: Tensor, coefficient: float) -> Callable[[Tensor, HookPoint], Tensor]:
    """Return a hook function that adds ``coefficient * vector`` (``[d_model]``) at every position.

    It returns a new tensor ``[batch, pos, d_model]``, and leaves the activation it was given as it is.
    """
    step = coefficient * vector

    def steer(activation: Tensor, hook: HookPoint) -> Tensor:  # every hook function is given its point
        return activation + step.to(activation)

    return steer


def mood_score(text: str) -> float:
    """Return the share of bright words among the mood words of a text, from 0 (all gloomy) to 1; 0.5 if it has none."""
    words = words_of(text)
    bright = sum(word in mood_words("bright") for word in words)
    gloomy = sum(word in mood_words("gloomy") for word in words)
    return bright / (bright + gloomy) if bright + gloomy else 0.5


def continuation(
    model: DemoTransformer, prompt: str, *, max_new_tokens: int = 60, temperature: float = 0.0, seed: int = 0
) -> str:
    """Return what the model writes after a prompt, without the prompt; hooks on the model apply."""
    tokens = encode(prompt)
    written = generate(model, tokens, max_new_tokens, temperature=temperature, seed=seed)
    return decode(written[len(tokens) :])


@torch.no_grad()
def _mean_residual(model: DemoTransformer, layer: int, mood: Mood, count: int) -> Tensor:
    reports = write_reports(count, seed=_SEED, mood=mood)
    return torch.stack([_last_residual(model, layer, report) for report in reports]).mean(dim=0)


def _last_residual(model: DemoTransformer, layer: int, report: str) -> Tensor:
    """Return the mean of the residual stream over a report's last plain tokens, ``[d_model]``."""
    name, moody = resid_post(layer), mood_words("bright") | mood_words("gloomy")
    _, cache = model.run_with_cache(torch.tensor([encode(report)]), names_filter=name)
    residual: Tensor = cache[name]  # [1, pos, d_model]
    plain = [place for place, word in enumerate(words_of(report), start=1) if word not in moody]  # 0 is the begin token
    return residual[0, plain[-_LAST:]].mean(dim=0)
