"""A stack in the shape of Llama-3.2-1B: 17 points a block and one before the unembedding, or none at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import silu

from benchmarks.stack import NAMES

__all__ = ["Shape", "bare_llama", "llama_of", "llama_weights"]


class Shape:
    """The sizes; ``pos`` is how many positions a decoding step looks back at."""

    def __init__(
        self, *, layers: int = 16, width: int = 2048, heads: int = 32, kv_heads: int = 8, inner: int = 8192,
        vocabulary: int = 128256, pos: int = 512,
    ) -> None:  # fmt: skip
        self.layers, self.width, self.heads, self.kv_heads = layers, width, heads, kv_heads
        self.inner, self.vocabulary, self.pos, self.size = inner, vocabulary, pos, width // heads


class Weights(nn.Module):
    """The parameters of one block, and its arithmetic between the points."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, width, size = shape, shape.width, shape.size
        self.norm_1, self.norm_2 = (nn.Parameter(torch.ones(width)) for _ in range(2))
        self.to_q = nn.Linear(width, shape.heads * size, bias=False)
        self.to_k, self.to_v = (nn.Linear(width, shape.kv_heads * size, bias=False) for _ in range(2))
        self.to_out = nn.Linear(shape.heads * size, width, bias=False)
        self.gate, self.up = (nn.Linear(width, shape.inner, bias=False) for _ in range(2))
        self.down = nn.Linear(shape.inner, width, bias=False)

    def scale(self, x: torch.Tensor) -> torch.Tensor:
        """Root mean square of each vector."""
        return (x.float().pow(2).mean(-1, keepdim=True) + 1e-5).sqrt().to(x.dtype)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, pos, ...]`` to ``[batch, head, pos, d_head]``."""
        return x.view(*x.shape[:2], -1, self.shape.size).transpose(1, 2)

    def rotate(self, x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Rotary position embedding."""
        cos, sin = angles
        left, right = x.chunk(2, -1)
        return x * cos + torch.cat((-right, left), -1) * sin

    def scores(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """``[batch, head, query, key]``, -inf where a query may not look."""
        k = k.repeat_interleave(self.shape.heads // self.shape.kv_heads, 1)
        scores = q @ k.transpose(-1, -2) * self.shape.size**-0.5
        if q.shape[2] > 1:
            mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(mask, float("-inf"))
        return scores

    def mix(self, pattern: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """``[batch, head, query, d_head]``."""
        return pattern @ v.repeat_interleave(self.shape.heads // self.shape.kv_heads, 1)


Past = tuple[torch.Tensor, torch.Tensor] | None
Angles = tuple[torch.Tensor, torch.Tensor]


class Block(nn.Module):
    """One block with a point at each of 17 places."""

    def __init__(self, weights: Weights, point: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.w = weights
        for name in NAMES:
            setattr(self, name, point())

    def forward(self, x: torch.Tensor, angles: Angles, past: Past) -> torch.Tensor:
        w = self.w
        before = self.hook_resid_pre(x)
        normal = self.hook_normalized_1(before / self.hook_scale_1(w.scale(before)) * w.norm_1)
        q = self.hook_q(w.rotate(w.split(w.to_q(normal)), angles))
        k = self.hook_k(w.rotate(w.split(w.to_k(normal)), angles))
        v = self.hook_v(w.split(w.to_v(normal)))
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        scores = self.hook_attn_scores(w.scores(q, k))
        z = self.hook_z(w.mix(self.hook_pattern(scores.softmax(-1)), v))
        middle = self.hook_resid_mid(before + self.hook_attn_out(w.to_out(z.transpose(1, 2).flatten(2))))
        normal = self.hook_normalized_2(middle / self.hook_scale_2(w.scale(middle)) * w.norm_2)
        post = self.hook_post(silu(self.hook_pre(w.gate(normal))) * w.up(normal))
        return self.hook_resid_post(middle + self.hook_mlp_out(w.down(post)))


class BareBlock(nn.Module):
    """The same block without points."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.w = weights

    def forward(self, x: torch.Tensor, angles: Angles, past: Past) -> torch.Tensor:
        w = self.w
        normal = x / w.scale(x) * w.norm_1
        q = w.rotate(w.split(w.to_q(normal)), angles)
        k = w.rotate(w.split(w.to_k(normal)), angles)
        v = w.split(w.to_v(normal))
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        z = w.mix(w.scores(q, k).softmax(-1), v)
        middle = x + w.to_out(z.transpose(1, 2).flatten(2))
        normal = middle / w.scale(middle) * w.norm_2
        return middle + w.down(silu(w.gate(normal)) * w.up(normal))


class Ends(nn.Module):
    """What is before and after the blocks."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.unembed = nn.Linear(shape.width, shape.vocabulary, bias=False)

    def angles(self, tokens: torch.Tensor, past: bool) -> Angles:
        """Cosines and sines of the positions."""
        start = self.shape.pos if past else 0
        at = torch.arange(start, start + tokens.shape[1], device=tokens.device, dtype=torch.float32)
        wave = torch.arange(0, self.shape.size, 2, device=tokens.device, dtype=torch.float32) / self.shape.size
        turns = torch.outer(at, 5e5**-wave).repeat(1, 2)
        dtype = self.unembed.weight.dtype
        return turns.cos().to(dtype), turns.sin().to(dtype)


def llama_weights(shape: Shape) -> tuple[Ends, list[Weights]]:
    """Weights for the whole stack."""
    return Ends(shape), [Weights(shape) for _ in range(shape.layers)]


def _forward(model: Any, tokens: torch.Tensor, past: Iterable[Past] | None) -> torch.Tensor:
    angles = model.ends.angles(tokens, past is not None)
    x = model.ends.embed(tokens)
    for block, seen in zip(model.blocks, past or [None] * len(model.blocks), strict=True):
        x = block(x, angles, seen)
    return model.ends.unembed(model.last(x))


def llama_of(root: Any, point: Callable[[], nn.Module], ends: Ends, weights: list[Weights]) -> Any:
    """The stack with points of one kind, under a root of the same system."""

    class Llama(root):  # type: ignore[misc]  # the system decides
        def __init__(self) -> None:
            super().__init__()
            self.ends = ends
            self.blocks = nn.ModuleList([Block(w, point) for w in weights])
            self.hook_final = point()
            self.setup()

        def last(self, x: torch.Tensor) -> torch.Tensor:
            return self.hook_final(x)

        def forward(self, tokens: torch.Tensor, past: Iterable[Past] | None = None) -> torch.Tensor:
            return _forward(self, tokens, past)

    return Llama()


def bare_llama(ends: Ends, weights: list[Weights]) -> Any:
    """The stack without points."""

    class Llama(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ends = ends
            self.blocks = nn.ModuleList([BareBlock(w) for w in weights])

        def last(self, x: torch.Tensor) -> torch.Tensor:
            return x

        def forward(self, tokens: torch.Tensor, past: Iterable[Past] | None = None) -> torch.Tensor:
            return _forward(self, tokens, past)

    return Llama()
