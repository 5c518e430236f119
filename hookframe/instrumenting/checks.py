"""Equations between the values at a family's points, true for all weights: a name at a wrong place breaks one of them.

Each check is data, and computes only with the tensors and the module that it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "EXACT",
    "Applies",
    "Equation",
    "Mixes",
    "RowsSumToOne",
    "Scores",
    "SumOfHeads",
    "Sums",
    "Turns",
    "UnitScale",
    "relative",
]

EXACT = 1e-4  # what float32 leaves of an equation between tensors
_HIDDEN = -1e30  # scores below are masked


def relative(actual: Any, expected: Any) -> float:
    """The largest difference, as a part of the largest expected value; infinite if the shapes differ or a value is not finite."""
    if actual.shape != expected.shape:
        return float("inf")
    scale = max(float(expected.abs().max()), 1e-30)
    worst = float((actual - expected).abs().max()) / scale
    return worst if worst == worst else float("inf")  # noqa: PLR0124  # only nan differs from itself


@dataclass(frozen=True, slots=True)
class Equation:
    """What every check has: see :class:`~hookframe.instrumenting.family.Check`."""

    names: tuple[str, ...]
    module: str | None = None
    tolerance: float = EXACT
    when: tuple[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Sums(Equation):
    """The first of ``names`` is the sum of the others: ``resid_mid = resid_pre + attn_out``."""

    @property
    def says_equal(self) -> bool:
        """True if there is one other: both names carry one tensor."""
        return len(self.names) == 2

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Compare the sum."""
        total, *parts = values
        added = parts[0]
        for part in parts[1:]:
            added = added + part
        return relative(total, added.expand_as(total) if added.dim() == total.dim() else added)


@dataclass(frozen=True, slots=True)
class Applies(Equation):
    """The first of ``names`` is what ``module`` makes of the second.

    :ivar joined: True to join heads before, False to leave ``[batch, pos, head, d_head]`` as it is.
    """

    joined: bool = True

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Call the module."""
        if not self.joined:
            return relative(values[0], module(values[1]))
        outcome, given = (value.flatten(-2) if value.dim() == 4 else value for value in values)
        return relative(outcome, module(given))


@dataclass(frozen=True, slots=True)
class SumOfHeads(Equation):
    """The first of ``names`` is the sum of what each head of the second adds through ``module``, and its bias.

    The module is linear; its weight is ``[d_model, head * d_head]``, or transposed if its class is a ``Conv1D``.
    """

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Add up the heads, ``[batch, pos, head, d_head]``."""
        outcome, heads = values
        if heads.dim() != 4:
            return float("inf")
        weight = module.weight.T if type(module).__name__ == "Conv1D" else module.weight
        if weight.shape[1] != heads.shape[2] * heads.shape[3]:
            return float("inf")
        per_head = weight.unflatten(1, tuple(heads.shape[2:]))  # [d_model, head, d_head]
        total = sum(heads[:, :, head] @ per_head[:, head].T for head in range(heads.shape[2]))  # [batch, pos, d_model]
        return relative(outcome, total if module.bias is None else total + module.bias)


@dataclass(frozen=True, slots=True)
class RowsSumToOne(Equation):
    """Each row of the pattern ``[batch, head, query, key]`` is a distribution, and the softmax of its scores."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Compare with one, and with the softmax of the second of ``names``."""
        pattern, scores = values
        rows = pattern.sum(-1)
        return max(relative(rows, rows.new_ones(rows.shape)), relative(pattern, scores.softmax(-1).to(pattern.dtype)))


@dataclass(frozen=True, slots=True)
class Mixes(Equation):
    """The first of ``names``, ``[batch, pos, head, d_head]``, mixes the third, the values, as the pattern says."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Mix; a group of heads shares one head of values."""
        mixed, pattern, value = values
        if mixed.dim() != 4 or value.dim() != 4 or pattern.dim() != 4 or pattern.shape[1] % value.shape[2]:
            return float("inf")
        if pattern.shape[3] != value.shape[1]:
            return float("inf")
        shared = value.transpose(1, 2).repeat_interleave(pattern.shape[1] // value.shape[2], dim=1)
        return relative(mixed, (pattern @ shared).transpose(1, 2))


@dataclass(frozen=True, slots=True)
class Scores(Equation):
    """The first of ``names`` are the products of queries and keys, ``[batch, pos, head, d_head]``, up to one positive factor.

    The factor is found from the values. Where something that is the same in each row of the batch is added, such as a
    position bias, ``biased`` compares the differences between rows.
    """

    biased: bool = False

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Compare the scores that no mask hides."""
        scores, query, key = values
        if query.dim() != 4 or key.dim() != 4 or query.shape[2] % key.shape[2] or query.shape[3] != key.shape[3]:
            return float("inf")
        shared = key.transpose(1, 2).repeat_interleave(query.shape[2] // key.shape[2], dim=1)
        products = query.transpose(1, 2) @ shared.transpose(2, 3)  # [batch, head, query, key]
        if products.shape != scores.shape:
            return float("inf")
        seen = scores > _HIDDEN
        if self.biased:
            seen = seen[1:] & seen[:1]
            scores, products = scores[1:] - scores[:1], products[1:] - products[:1]
        scores, products = scores[seen].double(), products[seen].double()
        factor = (scores @ products) / (products @ products).clamp_min(1e-30)
        return relative(scores, products * factor) if factor > 0 else float("inf")


@dataclass(frozen=True, slots=True)
class Turns(Equation):
    """The first of ``names`` is the second with pairs of its numbers rotated: the length of each head's vector is kept."""

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Compare lengths, ``[batch, pos, head]``."""
        turned, before = values
        if turned.shape != before.shape:
            return float("inf")
        return relative(turned.norm(dim=-1), before.norm(dim=-1))


@dataclass(frozen=True, slots=True)
class UnitScale(Equation):
    """The only one of ``names`` is what ``module``, a norm, returns: without its weight and bias it has a scale of one.

    :ivar shift: what the norm adds to its weight.
    """

    tolerance: float = 0.05  # norms add a small number to what they divide by
    shift: float = 0.0

    def deviation(self, values: Sequence[Any], module: Any) -> float:
        """Undo weight and bias, and look at the root of the mean square of each vector."""
        (normed,) = values
        bias = getattr(module, "bias", None)
        weight = module.weight + self.shift
        if weight.shape[-1] != normed.shape[-1]:
            return float("inf")
        bare = (normed if bias is None else normed - bias) / weight
        scale = bare.pow(2).mean(-1).sqrt()
        return relative(scale, scale.new_ones(scale.shape))
