"""Other libraries and hookframe on one small model of random weights, each with hooks of its own.

These tests run in the tox environments ``neighbours`` and ``neighbours-lens3``, which install the libraries.
"""

from __future__ import annotations

import os
from importlib import metadata

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")

OTHERS_WARN = ("default", "error::hookframe.errors.HookframeWarning")  # what other libraries warn of is their affair


@pytest.fixture
def lens_3():
    return transformer_lens(3)


@pytest.fixture
def lens_4():
    return transformer_lens(4)


def transformer_lens(major):
    """TransformerLens, if it is of this major version; else the test is skipped."""
    lens = pytest.importorskip("transformer_lens")
    if metadata.version("transformer-lens").partition(".")[0] != str(major):
        pytest.skip(f"the TransformerLens here is not version {major}: there is an environment for each")
    return lens


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "neighbours":
            item.add_marker(pytest.mark.neighbours)
            for each in OTHERS_WARN:
                item.add_marker(pytest.mark.filterwarnings(each), append=True)


@pytest.fixture
def gpt2():
    """A GPT-2 of two layers."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
    config = transformers.GPT2Config(**sizes, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0)
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.fixture
def tokens():
    return torch.tensor([[1, 2, 3, 4]])


@pytest.fixture
def seen():
    """What the functions of :func:`look` saw: where, and the sum of the absolute values."""
    return []


@pytest.fixture
def look(seen):
    def look(tensor, hook):
        seen.append((hook.name, tensor.abs().sum().item()))

    return look


@pytest.fixture
def zero():
    def zero(tensor, hook):
        return tensor * 0

    return zero
