"""A stack of transformer blocks with 17 points a block: with points, without any, and with the lines written by hand.

The three forwards do the same arithmetic on the same parameter tensors. Shapes: ``[batch, pos, d_model]`` in and out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.functional import gelu

__all__ = ["FLOORS", "NAMES", "Bare", "Block", "Inline", "PlainStack", "stack_of"]

NAMES = (
    "hook_resid_pre", "hook_scale_1", "hook_normalized_1", "hook_q", "hook_k", "hook_v", "hook_attn_scores",
    "hook_pattern", "hook_z", "hook_attn_out", "hook_resid_mid", "hook_scale_2", "hook_normalized_2", "hook_pre",
    "hook_post", "hook_mlp_out", "hook_resid_post",
)  # fmt: skip


class Weights(nn.Module):
    """The parameters of one block, and its arithmetic between the points."""

    mask: torch.Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.norm_1, self.norm_2 = (nn.Parameter(torch.ones(width)) for _ in range(2))
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width) for _ in range(4))
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """``[batch, pos, d_model]`` to ``[batch, head, pos, d_head]``."""
        return x.view(*x.shape[:2], self.heads, self.size).transpose(1, 2)

    def join(self, z: torch.Tensor) -> torch.Tensor:
        """The other way round."""
        return self.to_out(z.transpose(1, 2).flatten(2))

    def scale(self, x: torch.Tensor) -> torch.Tensor:
        """Root mean square of each vector."""
        return (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()

    def scores(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """``[batch, head, query, key]``."""
        return q @ k.transpose(-1, -2) * self.size**-0.5


class Block(nn.Module):
    """One block with a point at each of 17 places."""

    def __init__(self, weights: Weights, point: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.w = weights
        for name in NAMES:
            setattr(self, name, point())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.w
        before = self.hook_resid_pre(x)
        normal = self.hook_normalized_1(before / self.hook_scale_1(w.scale(before)) * w.norm_1)
        q = self.hook_q(w.split(w.to_q(normal)))
        k = self.hook_k(w.split(w.to_k(normal)))
        v = self.hook_v(w.split(w.to_v(normal)))
        scores = self.hook_attn_scores(w.scores(q, k))
        z = self.hook_z(self.hook_pattern(scores.softmax(-1)) @ v)
        middle = self.hook_resid_mid(before + self.hook_attn_out(w.join(z)))
        normal = self.hook_normalized_2(middle / self.hook_scale_2(w.scale(middle)) * w.norm_2)
        post = self.hook_post(gelu(self.hook_pre(w.inner(normal))))
        return self.hook_resid_post(middle + self.hook_mlp_out(w.outer(post)))


class BareBlock(nn.Module):
    """The same block without points."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.w = weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.w
        normal = x / w.scale(x) * w.norm_1
        q = w.split(w.to_q(normal))
        k = w.split(w.to_k(normal))
        v = w.split(w.to_v(normal))
        scores = w.scores(q, k)
        z = scores.softmax(-1) @ v
        middle = x + w.join(z)
        normal = middle / w.scale(middle) * w.norm_2
        post = gelu(w.inner(normal))
        return middle + w.outer(post)


class InlineBlock(nn.Module):
    """The same block with ``cache[name] = x.detach()`` written out 17 times: the floor of caching everything."""

    cache: dict[str, torch.Tensor]

    def __init__(self, weights: Weights, index: int) -> None:
        super().__init__()
        self.w = weights
        self.n = tuple(f"blocks.{index}.{name}" for name in NAMES)

    def forward(self, x: torch.Tensor, cache: dict[str, torch.Tensor]) -> torch.Tensor:  # written out, on purpose
        w, n = self.w, self.n
        cache[n[0]] = x.detach()
        scale = w.scale(x)
        cache[n[1]] = scale.detach()
        normal = x / scale * w.norm_1
        cache[n[2]] = normal.detach()
        q = w.split(w.to_q(normal))
        cache[n[3]] = q.detach()
        k = w.split(w.to_k(normal))
        cache[n[4]] = k.detach()
        v = w.split(w.to_v(normal))
        cache[n[5]] = v.detach()
        scores = w.scores(q, k)
        cache[n[6]] = scores.detach()
        pattern = scores.softmax(-1)
        cache[n[7]] = pattern.detach()
        z = pattern @ v
        cache[n[8]] = z.detach()
        out = w.join(z)
        cache[n[9]] = out.detach()
        middle = x + out
        cache[n[10]] = middle.detach()
        scale = w.scale(middle)
        cache[n[11]] = scale.detach()
        normal = middle / scale * w.norm_2
        cache[n[12]] = normal.detach()
        pre = w.inner(normal)
        cache[n[13]] = pre.detach()
        post = gelu(pre)
        cache[n[14]] = post.detach()
        out = w.outer(post)
        cache[n[15]] = out.detach()
        x = middle + out
        cache[n[16]] = x.detach()
        return x


class PlainStack(nn.Module):
    """A stack of such blocks under a root that is torch's own."""

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Bare(PlainStack):
    """The stack without points."""

    def __init__(self, weights: list[Weights]) -> None:
        super().__init__(map(BareBlock, weights))


class Inline(nn.Module):
    """The stack with the caching lines written by hand; returns the output and the cache."""

    def __init__(self, weights: list[Weights]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([InlineBlock(w, index) for index, w in enumerate(weights)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        cache: dict[str, torch.Tensor] = {}
        for block in self.blocks:
            x = block(x, cache)
        return x, cache


class Kept(dict[str, torch.Tensor]):
    """Values, and the versions that they had when they were stored."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: dict[str, int] = {}

    def check(self) -> None:
        """See that none was changed in place since."""
        if [value._version for value in self.values()] != [*self.versions.values()]:
            raise RuntimeError("a value was changed in place after it was stored")


class Watched(nn.Module):
    """The stack with every activation and every gradient kept by hand, in one of the ways of :data:`FLOORS`."""

    def __init__(self, weights: list[Weights], keep: Keep) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([WatchedBlock(w, index, keep) for index, w in enumerate(weights)])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        cache = Kept()
        for block in self.blocks:
            x = block(x, cache)
        return x, cache


class WatchedBlock(nn.Module):
    """The same block, with 17 calls that keep the activation and its gradient."""

    def __init__(self, weights: Weights, index: int, way: Keep) -> None:
        super().__init__()
        self.w, self.way = weights, way
        self.n = tuple(f"blocks.{index}.{name}" for name in NAMES)

    def forward(self, x: torch.Tensor, cache: Kept) -> torch.Tensor:
        w, way = self.w, self.way
        names = iter(self.n)

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            return way(tensor, cache, next(names))

        before = keep(x)
        normal = keep(before / keep(w.scale(before)) * w.norm_1)
        q, k, v = keep(w.split(w.to_q(normal))), keep(w.split(w.to_k(normal))), keep(w.split(w.to_v(normal)))
        scores = keep(w.scores(q, k))
        z = keep(keep(scores.softmax(-1)) @ v)
        middle = keep(before + keep(w.join(z)))
        normal = keep(middle / keep(w.scale(middle)) * w.norm_2)
        post = keep(gelu(keep(w.inner(normal))))
        return keep(middle + keep(w.outer(post)))


class _Alias(torch.autograd.Function):
    """The identity, which keeps the gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, cache: Kept, name: str) -> torch.Tensor:
        ctx.cache, ctx.name = cache, name
        return tensor.detach()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        ctx.cache[ctx.name] = gradient
        ctx.cache.versions[ctx.name] = gradient._version
        return gradient, None, None


def _with_tensor_hook(tensor: torch.Tensor, cache: Kept, name: str) -> torch.Tensor:
    """With the gradients of the tensor's other users; none if it is a view that is changed in place."""
    cache[name] = value = tensor.detach()
    cache.versions[name] = value._version
    tensor.register_hook(partial(_set, cache, f"{name}_grad"))
    return tensor


def _with_alias(tensor: torch.Tensor, cache: Kept, name: str) -> torch.Tensor:
    """With the gradient of what is sent on alone, whatever is done to it."""
    cache[name] = value = tensor.detach()
    cache.versions[name] = value._version
    return _Alias.apply(tensor, cache, f"{name}_grad")  # type: ignore[no-any-return,no-untyped-call]  # torch


def _set(cache: Kept, name: str, gradient: torch.Tensor) -> None:
    cache[name] = gradient
    cache.versions[name] = gradient._version


Keep: TypeAlias = Callable[[torch.Tensor, Kept, str], torch.Tensor]
FLOORS: dict[str, Keep] = {"tensor hooks": _with_tensor_hook, "autograd function": _with_alias}


def weights_of(layers: int, width: int, heads: int) -> list[Weights]:
    """Weights for so many blocks, the same ones for the same seed."""
    return [Weights(width, heads) for _ in range(layers)]


def stack_of(root: Any, point: Callable[[], nn.Module], weights: list[Weights]) -> Any:
    """The stack with points of one kind, under a root of the same system."""

    class Stack(root):  # type: ignore[misc]  # the system decides
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([Block(w, point) for w in weights])
            self.setup()

        def forward(self, x: torch.Tensor, loss: bool = False) -> torch.Tensor:
            for block in self.blocks:
                x = block(x)
            return x.sum() if loss else x

    return Stack()


def names_in(layers: int) -> Iterator[str]:
    """The names of all points, in order of execution."""
    return (f"blocks.{index}.{name}" for index in range(layers) for name in NAMES)
