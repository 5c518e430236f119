"""What the name of a hook point says of its place."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["layer_in", "layer_of", "number_in", "position_dim"]

_WITH_HEADS = ("hook_q", "hook_k", "hook_v", "hook_z", "hook_result")

_DIGITS = 9  # more are an identifier, and int() takes time that grows with the square of their number


def layer_in(name: str, among: slice = slice(None)) -> int | None:
    """The first dotted part of ``name`` that is a number; None if there is none.

    :param among: which parts may be the layer.
    """
    numbers = map(number_in, name.split(".")[among])
    return next((number for number in numbers if number is not None), None)


def layer_of(names: Iterable[str]) -> int | None:
    """The layer that the names of one place tell: the one number in a name, if every name with just one has the same."""
    found = {numbers[0] for name in names if len(numbers := _numbers(name)) == 1}
    return found.pop() if len(found) == 1 else None


def _numbers(name: str) -> list[int]:
    return [number for number in map(number_in, name.split(".")) if number is not None]


def number_in(text: str) -> int | None:
    """A number that is written in at most nine ASCII digits; None for everything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def position_dim(name: str) -> int:
    """The dimension of the position by the name of a point alone: -3 at points per head, where heads come after it, else -2."""
    return -3 if name.endswith(_WITH_HEADS) else -2
