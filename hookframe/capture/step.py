"""One forward of a capture: prompt or decode, and which positions its rows are at."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

__all__ = ["CACHES", "Step", "inputs_by_name", "read_step"]

CACHES = ("past_key_values", "cache")
"""The names under which models take the key-value cache."""

_TOKENS = ("input_ids", "inputs_embeds", "decoder_input_ids")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One forward.

    :ivar index: which one of the capture's, from 0.
    :ivar phase: ``"decode"`` if it goes on from a key-value cache that holds tokens already, else ``"prompt"``.
    :ivar past: how many positions that cache held.
    :ivar batch: rows of the input; None if it had no tensor.
    :ivar length: positions of the input; None if its tensor has one dimension.
    :ivar positions: int64 ``[batch, length]``: the place of each token in its own text, from 0, and -1 for padding, from
        the attention mask; None if the input does not say which are padded.
    :ivar cut: how many of its last positions were taken out of the key-value cache again, as assisted decoding does with the
        drafts that it rejects: what comes after them in the text does not go on from them. A cache of tuples shows it
        only to a forward that goes on from it.
    :ivar reordered: True if its rows go on from other rows of the forward before, as those of a beam search do.
    """

    index: int
    phase: Literal["prompt", "decode"] = "prompt"
    past: int = 0
    batch: int | None = None
    length: int | None = None
    positions: torch.Tensor | None = None
    cut: int = 0
    reordered: bool = False

    @property
    def kept(self) -> int:
        """How many of its positions the text goes on from; 0 if it is not known how many there are."""
        return (self.length or 0) - self.cut


def inputs_by_name(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the names of ``forward``'s parameters; those it takes as ``**kwargs`` by their own."""
    try:
        bound = inspect.signature(forward).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):  # the call itself raises the error
        bound = dict(kwargs)
    named = {name: value for name, value in bound.items() if name not in ("args", "kwargs")}
    starred = bound.get("args", ())
    return named | {str(place): value for place, value in enumerate(starred)} | dict(kwargs)


def read_step(index: int, inputs: Mapping[str, Any], *, reordered: bool = False) -> Step:
    """What the inputs of one forward say about it.

    :param reordered: what is known besides; see :class:`Step`.
    """
    first = next((value for value in inputs.values() if isinstance(value, torch.Tensor)), None)
    tokens = next((inputs[name] for name in _TOKENS if isinstance(inputs.get(name), torch.Tensor)), first)
    past = max(_length_of(inputs.get(name)) for name in CACHES)
    if tokens is None or tokens.dim() == 0:
        return Step(index=index, past=past, phase="decode" if past else "prompt", reordered=reordered)
    batch, length = tokens.shape[0], tokens.shape[1] if tokens.dim() > 1 else None
    return Step(
        index=index,
        phase="decode" if past else "prompt",
        past=past,
        batch=batch,
        length=length,
        positions=None if length is None else _positions(inputs.get("attention_mask"), batch, length, past),
        reordered=reordered,
    )


def _length_of(past: Any) -> int:
    """How many positions a key-value cache holds: a cache object's, or that of tuples of ``[batch, head, pos, d_head]``."""
    if past is None:
        return 0
    if callable(getattr(past, "get_seq_length", None)):
        return int(past.get_seq_length())
    while isinstance(past, (tuple, list)) and past:
        past = past[0]
    return int(past.shape[-2]) if isinstance(past, torch.Tensor) and past.dim() > 1 else 0


def _positions(mask: Any, batch: int, length: int, past: int) -> torch.Tensor | None:
    if not isinstance(mask, torch.Tensor) or mask.dim() != 2 or mask.shape[0] != batch or mask.shape[1] < past + length:
        return None
    real = mask[:, : past + length].detach().to("cpu", torch.bool)
    places = real.long().cumsum(dim=1) - 1
    return places.masked_fill(~real, -1)[:, past:]
