"""The weights file: tensors in float16, and in its metadata how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from hookframe.demo.grammar import vocabulary_digest

__all__ = ["check_vocabulary", "read_weights", "write_weights"]


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors (float16, on the CPU) and the metadata of a weights file."""
    with safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118  # the file is no dict


def write_weights(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a weights file, in float16, with the vocabulary's digest added to the metadata."""
    halved = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in weights.items()}
    path.write_bytes(save(halved, metadata={**metadata, "vocabulary": vocabulary_digest()}))


def check_vocabulary(metadata: Mapping[str, str]) -> None:
    """Compare the vocabulary that weights were trained for with the grammar's.

    :raises ValueError: they differ, so that token ids would mean other words.
    """
    if metadata.get("vocabulary") != vocabulary_digest():
        raise ValueError(
            "the demo weights were trained for another vocabulary than the grammar has now: "
            "run python -m benchmarks.demo_model.train"
        )
