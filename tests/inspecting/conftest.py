"""A model with hook points, and one without."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hookframe.testing.tiny_model import TinyModel


class Plain(nn.Module):
    """Somebody else's model: a parameter, a buffer that runs change, random numbers in training mode."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm, self.dropout = nn.BatchNorm1d(4), nn.Dropout(0.5)

    def forward(self, x, *, scale=1.0):
        return {"out": self.last(self.dropout(self.norm(self.first(x)))) * scale}


@pytest.fixture
def tiny():
    return TinyModel()


@pytest.fixture
def plain():
    return Plain()


@pytest.fixture
def x():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
