"""Whether the rows of a batch are the same texts from one forward to the next, and go on where it ended.

The key-value cache shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from hookframe.capture.step import CACHES

__all__ = ["RowWatch"]


class _Left(NamedTuple):
    """The first layer of a cache that has keys, as it was at some time."""

    keys: torch.Tensor  # [batch, head, pos, d_head]
    layer: Any
    length: int

    @property
    def may_shrink(self) -> bool:
        """True if the layer itself is cut back, and not another put in its place."""
        return not isinstance(self.layer, (tuple, list))


class RowWatch:
    """Remembers the keys that one forward left in its cache, and checks whether the next one finds them there.

    A beam search goes on with some of its rows, in another order: it puts other keys into the cache between two forwards.
    Assisted decoding takes the keys of rejected drafts out again.
    A cache that hides its keys, as quantised ones do, hides this as well.
    """

    def __init__(self) -> None:
        self._left: _Left | None = None

    def taken_back(self, inputs: Mapping[str, Any] | None = None) -> int:
        """How many of the last positions that a forward left in its cache have been taken out again since.

        :param inputs: the arguments of the next forward, if it is there: a cache of tuples shows it only there.
        """
        left = self._left
        if left is None:
            return 0
        if left.may_shrink:
            keys = _keys_of(left.layer)
            return 0 if keys is None else max(0, left.length - _length(left.layer, keys))
        found = None if inputs is None else _found_in(inputs)
        if found is None or found.may_shrink or found.length >= left.length or not _alike(left.keys, found.keys):
            return 0
        return left.length - found.length if _agree(left.keys, found.keys) else 0  # else it is another text's

    def have_moved(self, inputs: Mapping[str, Any]) -> bool:
        """True if the cache that a forward goes on from has other rows than the forward before left there.

        Compares nothing while the cache holds the very tensor that was left.
        """
        before, self._left = self._left, None
        now = None if before is None else _found_in(inputs)
        if before is None or now is None or now.keys is before.keys:
            return False
        return _alike(before.keys, now.keys) and not _agree(before.keys, now.keys)

    def look(self, inputs: Mapping[str, Any], output: Any) -> None:
        """Remember the keys after a forward: from the cache that it was given, or from the one that it returns.

        One of tuples that it was given is as it was before.
        """
        found = _found_in(inputs)
        if found is None or not found.may_shrink:
            items = output if isinstance(output, (tuple, list)) else ()
            # the fields themselves: asking an output for a name that it no longer uses makes it warn
            named = dict(output.items()) if isinstance(output, Mapping) else getattr(output, "__dict__", {})
            somewhere = (named, *({CACHES[0]: item} for item in items))
            found = next((left for some in somewhere if (left := _found_in(some)) is not None), found)
        self._left = found

    def forget(self) -> None:
        """Hold no keys any more."""
        self._left = None


def _alike(left: torch.Tensor, found: torch.Tensor) -> bool:
    """False for another kind of tensor, which says nothing of the first."""
    return (left.dtype, *_fixed(left)) == (found.dtype, *_fixed(found))


def _fixed(keys: torch.Tensor) -> tuple[int, ...]:
    """The sizes that do not change from forward to forward: all but rows and positions."""
    return (keys.dim(), *keys.shape[1:-2], keys.shape[-1])


def _agree(left: torch.Tensor, found: torch.Tensor) -> bool:
    """True if they have the same rows, as far as both go."""
    length = min(left.shape[-2], found.shape[-2])
    return torch.equal(left[..., :length, :], found[..., :length, :].to(left.device))


def _found_in(named: Mapping[str, Any]) -> _Left | None:
    """The first layer that has keys, of a cache among ``named``; None if there are none yet."""
    for name in CACHES:
        cache = named.get(name)
        cache = getattr(cache, "self_attention_cache", cache)  # of an encoder and a decoder
        layers = cache if isinstance(cache, (tuple, list)) else getattr(cache, "layers", None) or ()
        for layer in layers:
            keys = _keys_of(layer)
            if keys is not None and keys.numel():
                return _Left(keys, layer, _length(layer, keys))
    return None


def _keys_of(layer: Any) -> torch.Tensor | None:
    keys = layer[0] if isinstance(layer, (tuple, list)) and layer else getattr(layer, "keys", None)
    return keys if isinstance(keys, torch.Tensor) and keys.dim() > 2 else None


def _length(layer: Any, keys: torch.Tensor) -> int:
    """How many positions a layer has taken in; with a sliding window, that is more than it holds."""
    asked = getattr(layer, "get_seq_length", None)
    return int(asked()) if callable(asked) else keys.shape[-2]
