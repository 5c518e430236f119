import pytest
import torch
from hookframe_mps.device_policy import VARIABLE
from torch import nn

from hookframe import HookedRootModule, HookPoint


class Tiny(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.hook_out = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_out(self.linear(x))


class OnMps(Tiny):
    """Claims that its parameters are on MPS, which this machine may not have."""

    def parameters(self, recurse=True):
        return iter([type("Claim", (), {"device": torch.device("mps:0")})()])


@pytest.fixture
def model():
    return Tiny()


@pytest.fixture
def model_on_mps():
    return OnMps()


@pytest.fixture
def batch():
    return torch.zeros(1, 2)


@pytest.fixture(autouse=True)
def mps_is_not_allowed(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
