import time

import pytest
import torch
from hookframe_timing.plugin import TimingPlugin

from hookframe import HookedRootModule, HookPoint, use_plugins


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.hook_in, self.hook_out = HookPoint(), HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_out(self.hook_in(x) * 2).sum()


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def x():
    return torch.full((1, 4), 1234.5, requires_grad=True)  # the value must not turn up in any summary


@pytest.fixture
def timing():
    """A plugin of one's own."""
    return TimingPlugin()


@pytest.fixture
def using(timing):
    """Run with the plugin alone, and the options that are given."""
    opened = []

    def use(*others, **options):
        opened.append(use_plugins(timing, *others, options={"hookframe-timing": options}))
        return opened[-1]

    yield use
    for used in opened:
        used.close()


def double(tensor, hook):
    return tensor * 2


def sleep(tensor, hook):
    time.sleep(0.05)


def fail(tensor, hook):
    raise ValueError(f"cannot use {tensor}")
