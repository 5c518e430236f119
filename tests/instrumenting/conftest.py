"""A small model that does what real ones do: keyword arguments, tuples, dataclasses, shared modules, parts of fused tensors."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hookframe import Family
from hookframe.instrumenting.place import Part, into, out

Pair = namedtuple("Pair", "hidden_states weights")


@dataclass
class Output:
    loss: torch.Tensor | None
    logits: torch.Tensor
    note: str = "kept"


@dataclass(frozen=True)
class Frozen:
    value: torch.Tensor
    note: str = "kept"


class Attention(nn.Module):
    """Takes its input by keyword; returns a named tuple."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.fused = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, *, scale=1.0, hidden_states):
        q, k, v = self.fused(hidden_states).chunk(3, -1)
        split = lambda t: t.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        weights = (split(q) @ split(k).transpose(2, 3) * scale).softmax(-1)
        return Pair(self.out((weights @ split(v)).transpose(1, 2).flatten(-2)), weights)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU())

    def forward(self, x, extra):
        attended = self.attn(hidden_states=x)
        x = x + attended.hidden_states
        return x + self.mlp(x), extra


class Head(nn.Module):
    """Returns a frozen dataclass."""

    def forward(self, x):
        return Frozen(x * 2)


class Model(nn.Module):
    def __init__(self, width=8, heads=2, layers=2):
        super().__init__()
        self.config = SimpleNamespace(model_type="small", n_heads=heads, model_name="small")
        self.embed = nn.Embedding(11, width)
        self.layers = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.act = nn.Tanh()
        self.again = self.act  # one module, two names
        self.head = Head()

    def forward(self, tokens, loss=None):
        x = self.embed(tokens)
        for layer in self.layers:
            x, _ = layer(x, "extra")
            x = self.act(x)
        x = self.again(x)
        return Output(loss, self.head(x).value)


SMALL = Family(
    name="small",
    model_types=("small",),
    names={
        "hook_embed": out("embed"),
        "blocks.{i}.hook_resid_pre": into("layers.{i}"),
        **{
            f"blocks.{{i}}.attn.hook_{x}": out("layers.{i}.attn.fused", part=Part(n, 3), heads="n_heads")
            for n, x in enumerate("qkv")
        },
        "blocks.{i}.attn.hook_pattern": out("layers.{i}.attn", item="weights", pos_dim=2),
        "blocks.{i}.attn.hook_z": into("layers.{i}.attn.out", heads="n_heads"),
        "blocks.{i}.hook_attn_out": out("layers.{i}.attn"),
        "blocks.{i}.hook_resid_post": out("layers.{i}"),
    },
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def tokens():
    return torch.tensor([[1, 2, 3], [4, 5, 6]])


def keep(tensor, hook):
    return None


def double(tensor, hook):
    return tensor * 2


def torch_hooks(model):
    """Every torch hook on every module: the proof that nothing is attached."""
    tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        (name, table): list(getattr(module, table).values())
        for name, module in model.named_modules()
        for table in tables
        if getattr(module, table)
    }
