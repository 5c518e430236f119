"""Whether the rows of a batch are the same texts from one forward to the next, as the key-value cache shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hookframe.capture.step import CACHES

__all__ = ["RowWatch"]


class RowWatch:
    """Remembers the keys that one forward left in its cache, and looks whether the next one finds them there.

    A beam search goes on with some of its rows, in another order: it puts other keys into the cache between two forwards.
    Caches that do not show their keys, as quantised ones do not, show nothing of it either.
    """

    def __init__(self) -> None:
        self._left: torch.Tensor | None = None

    def have_moved(self, inputs: Mapping[str, Any]) -> bool:
        """True if the cache that a forward goes on from has other rows than the forward before left there.

        Compares nothing while the cache holds the very tensor that was left.
        """
        left, self._left = self._left, None
        found = None if left is None else _keys_in(inputs)
        if left is None or found is None or found is left:
            return False
        if (left.dtype, *_fixed(left)) != (found.dtype, *_fixed(found)):
            return False  # another kind of tensor, which says nothing of the first
        length = min(left.shape[-2], found.shape[-2])
        return not torch.equal(left[..., :length, :], found[..., :length, :].to(left.device))

    def look(self, inputs: Mapping[str, Any], output: Any) -> None:
        """Remember the keys after a forward, from the cache that it was given, else from the one that it returns."""
        found = _keys_in(inputs)
        if found is None:
            items = output if isinstance(output, (tuple, list)) else ()
            # the fields themselves: asking an output for a name that it no longer uses makes it warn
            named = dict(output.items()) if isinstance(output, Mapping) else getattr(output, "__dict__", {})
            somewhere = (named, *({CACHES[0]: item} for item in items))
            found = next((keys for some in somewhere if (keys := _keys_in(some)) is not None), None)
        self._left = found

    def forget(self) -> None:
        """Hold no keys any more."""
        self._left = None


def _fixed(keys: torch.Tensor) -> tuple[int, ...]:
    """The sizes that do not change from forward to forward: all but rows and positions."""
    return (keys.dim(), *keys.shape[1:-2], keys.shape[-1])


def _keys_in(named: Mapping[str, Any]) -> torch.Tensor | None:
    """The keys of the first layer, ``[batch, head, pos, d_head]``, of a cache among ``named``; None if there are none yet."""
    for name in CACHES:
        cache = named.get(name)
        cache = getattr(cache, "self_attention_cache", cache)  # of an encoder and a decoder
        layers = cache if isinstance(cache, (tuple, list)) else getattr(cache, "layers", None) or ()
        keys = (
            layer[0] if isinstance(layer, (tuple, list)) and layer else getattr(layer, "keys", None) for layer in layers
        )
        found = next(
            (each for each in keys if isinstance(each, torch.Tensor) and each.dim() > 2 and each.numel()), None
        )
        if found is not None:
            return found
    return None
