"""A small model with the shapes that matter: blocks, a gate that is off, a shared name, gradients."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookPoint


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.hook_resid_pre = HookPoint()
        self.linear = nn.Linear(width, width)
        self.hook_mlp_in = HookPoint()  # gated: fires with cfg.use_hook_mlp_in alone
        self.hook_mlp_out = HookPoint()
        self.hook_resid_post = HookPoint()

    def forward(self, x: torch.Tensor, cfg: SimpleNamespace) -> torch.Tensor:
        x = self.hook_resid_pre(x)
        seen = self.hook_mlp_in(x) if cfg.use_hook_mlp_in else x
        return self.hook_resid_post(x + self.hook_mlp_out(torch.tanh(self.linear(seen))))


class Model(HookedRootModule):
    def __init__(self, layers: int = 3, width: int = 8, *, gated: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cfg = SimpleNamespace(use_hook_mlp_in=False)
        self.gated = gated
        self.hook_embed = HookPoint()
        self.blocks = nn.ModuleList([Block(width) for _ in range(layers)])
        self.setup()

    def check_hooks_to_add(self, hook_point, hook_point_name, hook, dir="fwd", is_permanent=False, prepend=False):
        if self.gated and hook_point_name.endswith("hook_mlp_in"):
            assert self.cfg.use_hook_mlp_in, f"cannot hook {hook_point_name} while use_hook_mlp_in is off"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.hook_embed(x)
        for block in self.blocks:
            x = block(x, self.cfg)
        return x


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def gated_model() -> Model:
    """A model that refuses hooks at its gated points, as TransformerLens's models do."""
    return Model(gated=True)


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 5, 8)  # [batch, pos, width]


@pytest.fixture
def counter():
    """A backend that counts what the compiler makes, in a process that has compiled nothing that still counts."""
    import torch._dynamo
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    yield CompileCounter()
    torch._dynamo.reset()


def tables(model: nn.Module) -> list[tuple[object, ...]]:
    """Everything that says what is attached to a model: hookframe's lists, and torch's tables on every module."""
    found: list[tuple[object, ...]] = []
    for name, module in model.named_modules():
        torch_tables = (
            module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks
        )  # fmt: skip
        found.append((name, *(tuple(table.items()) for table in torch_tables)))
        if isinstance(module, HookPoint):
            found.append((name, tuple(map(id, module.fwd_hooks)), tuple(map(id, module.bwd_hooks)), module._plan))
    return found


@pytest.fixture(name="tables")
def tables_of():
    return tables
