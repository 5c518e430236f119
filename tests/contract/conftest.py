"""Small real models for the contract's tests; every test decides with an explicit, empty set of plugins."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import hookframe
from hookframe import HookedRootModule, HookPoint


@dataclass
class Config:
    """Flags of the small transformer."""

    use_attn_result: bool = False


class Attention(nn.Module):
    """Two heads of size 3; ``hook_result`` is only reached with its flag on."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        self.qkv = nn.Linear(6, 18)
        self.out = nn.Linear(6, 6)
        self.hook_q = HookPoint()
        self.hook_k = HookPoint()
        self.hook_v = HookPoint()
        self.hook_z = HookPoint()
        self.hook_result = HookPoint()

    def forward(self, x):
        batch, pos, _ = x.shape
        q, k, v = (part.reshape(batch, pos, 2, 3) for part in self.qkv(x).chunk(3, dim=-1))
        q, k, v = self.hook_q(q), self.hook_k(k), self.hook_v(v)  # [batch, pos, head, d_head]
        pattern = torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(dim=-1)
        z = self.hook_z(torch.einsum("bhqk,bkhd->bqhd", pattern, v))
        if self.cfg.use_attn_result:
            z = self.hook_result(z)
        return self.out(z.reshape(batch, pos, 6))


class Block(nn.Module):
    """Attention and a linear layer on a residual stream."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.hook_resid_pre = HookPoint()
        self.attn = Attention(cfg)
        self.mlp = nn.Linear(6, 6)
        self.hook_mlp_out = HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(self, x):
        x = self.hook_resid_pre(x)
        x = x + self.attn(x)
        return self.hook_resid_post(x + self.hook_mlp_out(torch.tanh(self.mlp(x))))


class TinyTransformer(HookedRootModule):
    """``[batch, pos, 6]`` → ``[batch, pos, 6]``, or a scalar with ``loss=True``."""

    def __init__(self, use_attn_result: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cfg = Config(use_attn_result)
        self.embed = nn.Linear(6, 6)
        self.hook_embed = HookPoint()
        self.blocks = nn.ModuleList(Block(self.cfg) for _ in range(2))
        self.setup()

    def forward(self, x, loss=False):
        x = self.hook_embed(self.embed(x))
        for block in self.blocks:
            x = block(x)
        return x.square().sum() if loss else x


BLOCK_POINTS = (
    "hook_resid_pre",
    "attn.hook_q",
    "attn.hook_k",
    "attn.hook_v",
    "attn.hook_z",
    "hook_mlp_out",
    "hook_resid_post",
)
RAN = ("hook_embed", *(f"blocks.{i}.{point}" for i in range(2) for point in BLOCK_POINTS))


class Picky(TinyTransformer):
    """Refuses points that never fire with their flag off, as models of that kind do."""

    def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
        if hook_point_name.endswith("attn.hook_result"):
            assert self.cfg.use_attn_result, f"cannot add hook {hook_point_name} if use_attn_result is False"


class TwoPoints(HookedRootModule):
    """``first`` doubles, ``second`` adds one; scalar output with ``loss=True``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.first = HookPoint()
        self.second = HookPoint()
        self.setup()

    def forward(self, x, loss=False):
        x = self.second(self.first(x * self.weight) * 2) + 1
        return x.sum() if loss else x


@pytest.fixture(autouse=True)
def no_plugins():
    with hookframe.use_plugins() as manager:
        yield manager


@pytest.fixture
def model():
    return TinyTransformer()


@pytest.fixture
def ran():
    """Names of the points that :class:`TinyTransformer` reaches, in order of execution."""
    return list(RAN)


@pytest.fixture
def picky():
    return Picky()


@pytest.fixture
def two():
    return TwoPoints()


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(2, 5, 6)


@pytest.fixture
def make():
    """The model classes themselves, for tests that need several or options."""
    return {"transformer": TinyTransformer, "picky": Picky, "two": TwoPoints}


@pytest.fixture
def same_signature():
    """Checks names, order and defaults of parameters; what hookframe adds must be keyword-only."""
    import inspect

    def check(function, expected):
        parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
        plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        found = {p.name: [] if p.default == () else p.default for p in plain}
        required = inspect.Parameter.empty
        assert list(found.items()) == [(k, required if v is ... else v) for k, v in expected.items()]
        assert all(p.default is not required for p in parameters if p.kind is p.KEYWORD_ONLY)

    return check
