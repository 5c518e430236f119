"""Finds activations by a short name and a layer, or by a glob."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

from hookframe.admission.globs import Glob
from hookframe.admission.listing import listed
from hookframe.admission.point_names import layer_in
from hookframe.errors import UnknownActivation

__all__ = [
    "called_so",
    "describe_key",
    "find_short",
    "fitting_short",
    "is_glob",
    "layer_of",
    "layers_called",
    "matching",
    "no_activation",
]

_PREFIX = "hook_"


def is_glob(name: str) -> bool:
    """True if ``name`` holds ``*``, ``?`` or ``[``, which no attribute of a module can."""
    return any(character in name for character in "*?[")


def matching(keys: Collection[str], pattern: str) -> list[str]:
    """The ``keys`` that a glob on dotted names matches, in their order.

    :raises UnknownActivation: if it matches none.
    """
    glob = Glob(pattern)
    found = [key for key in keys if glob.matches(key)]
    if not found:
        raise no_activation(pattern, keys)
    return found


def layer_of(key: str) -> int | None:
    """The first part of a dotted name that is a number; None if there is none."""
    return layer_in(key, slice(None, -1))


def find_short(keys: Collection[str], name: str, layer: int | None = None, part: str | None = None) -> str:
    """The one key that ``(name, layer, part)`` means.

    :param name: the last part of the key, with or without ``hook_``.
    :param layer: its layer; negative ones count from the last; None for keys without a layer.
    :param part: another part of the key, such as ``"attn"`` or ``"ln1"``, where name and layer are not enough.
    :raises UnknownActivation: if no key fits, or several fit equally well.
    """
    if not _is_layer(layer):
        raise UnknownActivation(f"{describe_key(name, layer, part)}: a layer is a number, or None for no layer")
    return _only(fitting_short(keys, name, layer, part), keys, name, layer, part)


def fitting_short(keys: Collection[str], name: Any, layer: Any = None, part: Any = None) -> list[str]:
    """The keys that fit ``(name, layer, part)`` best: one if :func:`find_short` finds it, else none or several."""
    if not _is_layer(layer) or not isinstance(name, str):
        return []
    candidates = called_so(keys, name, part)
    if layer is not None and layer < 0:
        layers = sorted({number for key in candidates if (number := layer_of(key)) is not None})
        layer = layers[layer] if -layer <= len(layers) else layer
    return _nearest([key for key in candidates if layer_of(key) == layer])


def _is_layer(layer: Any) -> bool:
    return layer is None or (isinstance(layer, int) and not isinstance(layer, bool))


def layers_called(keys: Collection[str], name: str, part: str | None = None) -> list[str]:
    """The keys that ``name`` means in each layer, by layer.

    :raises UnknownActivation: if no layer has one, or one layer has several that fit equally well.
    """
    candidates = sorted((number, key) for key in called_so(keys, name, part) if (number := layer_of(key)) is not None)
    if not candidates:
        raise no_activation(name, keys, part=part)
    by_layer = [(layer, [key for _, key in group]) for layer, group in groupby(candidates, key=lambda item: item[0])]
    return [_only(fitting, keys, name, layer, part) for layer, fitting in by_layer]


def called_so(keys: Collection[str], name: str, part: str | None) -> list[str]:
    """The keys whose last part is ``name``, with or without ``hook_``, in any layer."""
    wanted = {name, _PREFIX + name}
    parts = ((key, key.split(".")) for key in keys)
    return [key for key, pieces in parts if pieces[-1] in wanted and (part is None or part in pieces[:-1])]


def _only(fitting: Sequence[str], keys: Collection[str], name: str, layer: int | None, part: str | None) -> str:
    """The key in ``fitting`` with the fewest parts; raises if there is none, or not just one."""
    nearest = _nearest(fitting)
    if not nearest:
        raise no_activation(name, keys, layer=layer, part=part)
    if len(nearest) > 1:
        raise UnknownActivation(
            f"{describe_key(name, layer, part)} fits {len(nearest)} activations: {listed(map(repr, nearest), 4)}; "
            "use one of these names, or name a part of it as third: cache['scale', 3, 'ln1']"
        )
    return nearest[0]


def _nearest(fitting: Sequence[str]) -> list[str]:
    """The keys with the fewest parts: ``blocks.3.hook_out`` before ``blocks.3.mlp.hook_out``."""
    fewest = min((key.count(".") for key in fitting), default=0)
    return [key for key in fitting if key.count(".") == fewest]


def describe_key(name: str, layer: int | None = None, part: str | None = None) -> str:
    """A look-up as the user wrote it."""
    if part is not None:
        return repr((name, layer, part))
    return repr(name) if layer is None else repr((name, layer))


def no_activation(
    name: str, keys: Collection[str], *, layer: int | None = None, part: str | None = None
) -> UnknownActivation:
    """The error for a look-up that no key fits; with the nearest keys."""
    asked = describe_key(name, layer, part)
    if not keys:
        return UnknownActivation(f"the cache has no activation {asked}: it is empty, so nothing that it asked for ran")
    layers = sorted({number for key in called_so(keys, name, part) if (number := layer_of(key)) is not None})
    if layers:
        hint = f"its layers are {_numbers(layers)}"
        if layer is None:
            hint += f", so give one: cache[{name!r}, {layers[0]}], or all of them: cache.stack({name!r})"
    else:
        ends = {key.rpartition(".")[2].removeprefix(_PREFIX): key for key in keys}
        near = difflib.get_close_matches(name, list(keys), n=3, cutoff=0.6)
        near = near or [ends[end] for end in difflib.get_close_matches(name.removeprefix(_PREFIX), list(ends), n=3)]
        hint = f"did you mean {listed(map(repr, near), 4)}" if near else f"it has {len(keys)}, none of a similar name"
    return UnknownActivation(f"the cache has no activation {asked}: {hint} (all names: list(cache))")


def _numbers(layers: Sequence[int]) -> str:
    whole = list(layers) == list(range(layers[0], layers[-1] + 1))
    return f"{layers[0]} to {layers[-1]}" if whole and len(layers) > 2 else ", ".join(map(str, layers))
