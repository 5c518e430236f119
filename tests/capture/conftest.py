"""A small decoder with a key-value cache of its own, and one whose points are called several times."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookPoint

WIDTH, WORDS = 8, 20


class Attention(nn.Module):
    """One causal head over ``[batch, pos, width]``; rows know which of their positions are real."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.hook_pattern = HookPoint()
        self.hook_z = HookPoint()
        self.hook_z.pos_dim = 1

    def forward(self, x, mask, past):
        keys, values = self.k(x), self.v(x)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 1), torch.cat([past[1], values], 1)
        scores = self.q(x) @ keys.transpose(1, 2) / WIDTH**0.5  # [batch, query, key]
        total, new = keys.shape[1], x.shape[1]
        order = torch.arange(total)[None, :] <= torch.arange(total - new, total)[:, None]
        scores = scores.masked_fill(~(order[None] & mask[:, None, :].bool()), -1e9)
        return self.hook_z(self.hook_pattern(scores.softmax(-1)) @ values), (keys, values)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = Attention()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True))
        self.hook_resid_pre, self.hook_resid_mid, self.hook_resid_post = HookPoint(), HookPoint(), HookPoint()

    def forward(self, x, mask, past):
        x = self.hook_resid_pre(x)
        attended, kept = self.attn(x, mask, past)
        x = self.hook_resid_mid(x + attended)
        return self.hook_resid_post(x + self.mlp(x)), kept


class Decoder(HookedRootModule):
    """``forward`` takes and gives a key-value cache, as tuples of ``[batch, pos, width]``."""

    def __init__(self, layers: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.hook_embed = HookPoint()
        self.blocks = nn.ModuleList([Block() for _ in range(layers)])
        self.out = nn.Linear(WIDTH, WORDS)
        self.setup()

    def forward(self, input_ids, attention_mask=None, past_key_values=None):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        x, kept = self.hook_embed(self.embed(input_ids)), []
        for index, block in enumerate(self.blocks):
            x, past = block(x, attention_mask, None if past_key_values is None else past_key_values[index])
            kept.append(past)
        return self.out(x), kept

    @torch.no_grad()
    def generate(self, input_ids, attention_mask, steps):
        """Greedy: ``steps`` tokens, one forward each."""
        logits, past = self(input_ids, attention_mask)
        tokens = [input_ids]
        for _ in range(steps):
            tokens.append(logits[:, -1:].argmax(-1))
            attention_mask = torch.cat([attention_mask, attention_mask.new_ones(len(input_ids), 1)], 1)
            logits, past = self(tokens[-1], attention_mask=attention_mask, past_key_values=past)
        return torch.cat(tokens, 1)


class Echo(HookedRootModule):
    """Calls one point three times in each forward, and works in place on what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_state = HookPoint()
        self.hook_once = HookPoint()
        self.setup()

    def forward(self, x):
        x = self.hook_once(x)
        for _ in range(3):
            x = self.hook_state(x * 2)
        return x.add_(1)


@pytest.fixture
def decoder():
    return Decoder().eval()


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def tokens():
    torch.manual_seed(1)
    return torch.randint(1, WORDS, (2, 5))
