"""Where a canonical name points to: plain data, so that a family's name map can be read, compared and mutated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["At", "Inner", "Part", "inner", "into", "out"]

Inner: TypeAlias = Literal["query", "key", "scores", "pattern"]
"""What lies inside of an attention function: queries and keys as they meet, their scores, and the pattern."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of several tensors of equal size that a module computes fused into one.

    :ivar index: which of them, from 0.
    :ivar count: how many there are.
    :ivar per_head: True if they are interleaved head by head (``[head, count, d_head]``), False if they follow each
        other (``[count, head, d_head]``).
    """

    index: int
    count: int
    per_head: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A tensor that goes into or comes out of one module.

    :ivar module: the module's path below the family's base module. ``{i}`` stands for each number of a layer.
    :ivar side: ``"in"`` or ``"out"``.
    :ivar item: which argument, element or field; None for the one that carries the activation (see
        :func:`~hookframe.instrumenting.picking.locate`).
    :ivar part: which part of a fused tensor.
    :ivar heads: the configuration's attribute with the number of heads; hook functions then see
        ``[batch, pos, head, d_head]``.
    :ivar heads_first: True if the module's own layout is ``[batch, head, pos, d_head]``; hook functions then see
        ``[batch, pos, head, d_head]`` as well.
    :ivar pos_dim: the dimension of the position, as hook functions see the tensor; None if it has none.
    :ivar inside: which tensor inside of the module's attention function, in place of ``side``.
    :ivar when: attribute and value that the configuration must have for the name to exist.
    """

    module: str
    side: Literal["in", "out"] = "out"
    item: int | str | None = None
    part: Part | None = None
    heads: str | None = None
    heads_first: bool = False
    pos_dim: int | None = 1
    inside: Inner | None = None
    when: tuple[str, object] | None = None


def out(
    module: str,
    *,
    item: int | str | None = None,
    part: Part | None = None,
    heads: str | None = None,
    heads_first: bool = False,
    pos_dim: int | None = 1,
    when: tuple[str, object] | None = None,
) -> At:
    """What ``module`` returns."""
    return At(module=module, item=item, part=part, heads=heads, heads_first=heads_first, pos_dim=pos_dim, when=when)


def into(
    module: str, *, item: int | str | None = None, heads: str | None = None, when: tuple[str, object] | None = None
) -> At:
    """What ``module`` is called with."""
    return At(module=module, side="in", item=item, heads=heads, when=when)


def inner(module: str, inside: Inner) -> At:
    """What the attention function of ``module`` computes on the way.

    Queries and keys are ``[batch, pos, head, d_head]`` there, scores and pattern ``[batch, head, query, key]``.
    """
    vectors = inside in ("query", "key")
    return At(module=module, inside=inside, heads_first=vectors, pos_dim=1 if vectors else 2)
