"""Small real models for the contract's tests; every test decides with an explicit, empty set of plugins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hookframe
from hookframe import HookedRootModule, HookPoint
from hookframe.testing import TinyModel


class TinyTransformer(TinyModel):
    """The tiny model, on ``[batch, pos, 6]`` in place of tokens: returns that shape, or a scalar with ``loss=True``."""

    def __init__(self, use_attn_result: bool = False) -> None:
        super().__init__(d_model=6, d_vocab=6)
        self.cfg.use_attn_result = use_attn_result

    def forward(self, x, loss=False):
        x = self.hook_embed(x @ self.W_E)
        for block in self.blocks:
            x = block(x)
        x = x @ self.W_U
        return x.square().sum() if loss else x


BLOCK_POINTS = (
    "hook_resid_pre",
    *(f"attn.hook_{name}" for name in ("q", "k", "v", "pattern", "z")),
    "hook_attn_out",
    "hook_resid_mid",
    "mlp.hook_pre",
    "mlp.hook_post",
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
def at():
    """Takes positions of an activation: per-head ones have theirs third from last, all others second from last."""

    def positions(value, name, index):
        per_head = name.removesuffix("_grad").endswith(("hook_q", "hook_k", "hook_v", "hook_z"))
        return value[(..., index, *[slice(None)] * (2 if per_head else 1))]

    return positions


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
