import logging

import pytest
import torch
from hookframe_log.options import VARIABLES
from hookframe_log.plugin import LogPlugin
from torch import nn

from hookframe import HookedRootModule, HookPoint, use_plugins


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.hook_in, self.hook_out, self.hook_gated = HookPoint(), HookPoint(), HookPoint()
        self.use_gated = False

    def forward(self, x):
        x = self.hook_out(self.hook_in(x) * 1.0)
        return self.hook_gated(x) if self.use_gated else x


class TwoBlocks(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.setup()

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x.sum()


@pytest.fixture
def model():
    return TwoBlocks()


@pytest.fixture
def batch():
    return torch.full((1, 4), 1234.5, requires_grad=True)  # 16 bytes; the value must not turn up in any log


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def using():
    """Run with a plugin of one's own and the options that are given; the plugin is closed afterwards."""
    opened = []

    def use(*others, **options):
        log = LogPlugin()
        used = use_plugins(log, *others, options={"hookframe-log": options})
        opened.append((used, log))
        return used

    yield use
    for used, log in opened:
        used.close()
        log.close()


@pytest.fixture
def lines(caplog):
    """What the logger passes on, in text."""
    caplog.set_level(logging.INFO, "hookframe.log")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "hookframe.log"]
