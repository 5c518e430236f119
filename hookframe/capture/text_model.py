"""A model together with what turns texts into its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hookframe.core.verbs.root_module import HookedRootModule

__all__ = ["TextInputs", "TextModel", "weights_digest"]

_ENDS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class TextInputs:
    """A batch of texts as a model takes it.

    :ivar arguments: what the model is called with, by keyword.
    :ivar mask: bool ``[batch, pos]``: True for tokens, False for padding.
    """

    arguments: dict[str, Any]
    mask: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextModel:
    """A model that reads texts: what ``hookframe capture`` and ``hookframe run-plan`` work on.

    :ivar root: the model, with its hook points.
    :ivar encode: makes the inputs of a batch of texts; equal texts give equal inputs.
    :ivar generate: continues each of a batch of texts by so many tokens; None for a model that does not write.
    """

    root: HookedRootModule
    encode: Callable[[Sequence[str]], TextInputs]
    generate: Callable[[Sequence[str], int], list[str]] | None = None


def weights_digest(model: torch.nn.Module) -> str:
    """A digest of the parameters' names, shapes and kinds, and of the first and last 4,096 numbers of each.

    It tells other weights apart without reading all of a large model.
    """
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
            flat = value.detach().reshape(-1)
            for part in (flat[:_ENDS], flat[-_ENDS:]):
                digest.update(part.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"
