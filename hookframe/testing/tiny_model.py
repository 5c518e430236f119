"""A small real model: two blocks, the point names that TransformerLens made usual, gates, gradients.

Shapes: ``batch``, ``pos`` (also ``query`` and ``key``), ``head``, ``d_model``, ``d_head``.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from hookframe.core.model.hook_point import HookPoint
from hookframe.core.verbs.root_module import HookedRootModule

__all__ = ["TinyModel"]


def _weight(generator: torch.Generator, *shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=generator) * shape[0] ** -0.5)


class TinyAttention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, cfg: SimpleNamespace, generator: torch.Generator) -> None:
        super().__init__()
        self.cfg = cfg
        self.W_Q, self.W_K, self.W_V, self.W_O = (_weight(generator, cfg.d_model, cfg.d_model) for _ in range(4))
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()  # [batch, pos, head, d_head]
        self.hook_pattern = HookPoint()  # [batch, head, query, key]
        self.hook_z = HookPoint()  # [batch, pos, head, d_head]
        self.hook_result = HookPoint()  # [batch, pos, d_model], only if cfg.use_attn_result

    def forward(self, x: Tensor) -> Tensor:
        """Take and return ``[batch, pos, d_model]``."""
        split = (*x.shape[:2], self.cfg.n_heads, -1)  # [batch, pos, head, d_head]
        q = self.hook_q((x @ self.W_Q).view(split))
        k = self.hook_k((x @ self.W_K).view(split))
        v = self.hook_v((x @ self.W_V).view(split))
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k).masked_fill(mask, float("-inf"))
        pattern = self.hook_pattern(scores.softmax(dim=-1))
        z = self.hook_z(torch.einsum("bhqk,bkhd->bqhd", pattern, v))
        result: Tensor = z.flatten(-2) @ self.W_O
        return self.hook_result(result) if self.cfg.use_attn_result else result


class TinyMlp(nn.Module):
    """One hidden layer."""

    def __init__(self, cfg: SimpleNamespace, generator: torch.Generator) -> None:
        super().__init__()
        self.W_in, self.W_out = (_weight(generator, cfg.d_model, cfg.d_model) for _ in range(2))
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()  # [batch, pos, d_model]

    def forward(self, x: Tensor) -> Tensor:
        """Take and return ``[batch, pos, d_model]``."""
        post: Tensor = self.hook_post(torch.tanh(self.hook_pre(x @ self.W_in)))
        return post @ self.W_out


class TinyBlock(nn.Module):
    """Attention, then the hidden layer, each added to the residual stream."""

    def __init__(self, cfg: SimpleNamespace, generator: torch.Generator) -> None:
        super().__init__()
        self.cfg = cfg
        self.attn, self.mlp = TinyAttention(cfg, generator), TinyMlp(cfg, generator)
        self.hook_resid_pre, self.hook_attn_out, self.hook_resid_mid = HookPoint(), HookPoint(), HookPoint()
        self.hook_mlp_in = HookPoint()  # only if cfg.use_hook_mlp_in
        self.hook_mlp_out, self.hook_resid_post = HookPoint(), HookPoint()

    def forward(self, x: Tensor) -> Tensor:
        """Take and return ``[batch, pos, d_model]``."""
        x = self.hook_resid_pre(x)
        x = self.hook_resid_mid(x + self.hook_attn_out(self.attn(x)))
        seen = self.hook_mlp_in(x) if self.cfg.use_hook_mlp_in else x
        result: Tensor = self.hook_resid_post(x + self.hook_mlp_out(self.mlp(seen)))
        return result


class TinyModel(HookedRootModule):
    """Maps tokens ``[batch, pos]`` to logits ``[batch, pos, d_vocab]``, float32, with the same weights every time.

    :ivar cfg: its sizes, and two switches that may be set at any time: ``use_attn_result`` and ``use_hook_mlp_in``. The
        points ``attn.hook_result`` and ``hook_mlp_in`` fire while theirs is on.
    """

    def __init__(self, *, n_layers: int = 2, d_model: int = 8, n_heads: int = 2, d_vocab: int = 16) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)  # the global one belongs to the user
        self.cfg = SimpleNamespace(
            n_layers=n_layers,
            d_model=d_model,
            n_heads=n_heads,
            d_vocab=d_vocab,
            use_attn_result=False,
            use_hook_mlp_in=False,
        )
        self.W_E = _weight(generator, d_vocab, d_model)
        self.W_U = _weight(generator, d_model, d_vocab)
        self.hook_embed = HookPoint()  # [batch, pos, d_model]
        self.blocks = nn.ModuleList([TinyBlock(self.cfg, generator) for _ in range(n_layers)])
        self.setup()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits ``[batch, pos, d_vocab]``."""
        x: Tensor = self.hook_embed(self.W_E[tokens])
        for block in self.blocks:
            x = block(x)
        return x @ self.W_U

    @property
    def tokens(self) -> Tensor:
        """An input for it, ``[batch=1, pos=5]``."""
        return torch.arange(5)[None]
