"""The parts of the demo transformer, with hook points under the names that TransformerLens made usual.

Shapes: ``batch``, ``pos`` (also ``query`` and ``key``), ``head``, ``d_model``, ``d_head``, ``d_mlp``. Parameters carry the
field's names too (``W_Q`` is ``[head, d_model, d_head]``). All tensors are float32 unless the model was moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from hookframe.core.model.hook_point import HookPoint

__all__ = ["Attention", "Block", "DemoConfig", "Embed", "LayerNorm", "Mlp", "PosEmbed", "Unembed"]


@dataclass(slots=True, kw_only=True)
class DemoConfig:
    """The sizes of a demo transformer, and its one switch.

    :ivar dropout: the share of numbers to drop in training, from the embedding and from what each part adds.
    :ivar use_attn_result: compute each head's output apart, so that ``attn.hook_result`` fires. It may be switched at
        any time; the weights do not depend on it.
    """

    d_vocab: int
    n_layers: int = 3
    d_model: int = 96
    n_heads: int = 4
    d_mlp: int = 384
    n_ctx: int = 96
    eps: float = 1e-5
    dropout: float = 0.0
    use_attn_result: bool = False

    @property
    def d_head(self) -> int:
        """The width of one head."""
        return self.d_model // self.n_heads


def _weight(*shape: int, std: float) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * std)


class Embed(nn.Module):
    """Looks up token vectors: ``[batch, pos]`` to ``[batch, pos, d_model]``."""

    def __init__(self, cfg: DemoConfig) -> None:
        super().__init__()
        self.W_E = _weight(cfg.d_vocab, cfg.d_model, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return a new tensor of shape ``[batch, pos, d_model]``."""
        return self.W_E[tokens]


class PosEmbed(nn.Module):
    """Learned position vectors, repeated for the batch."""

    def __init__(self, cfg: DemoConfig) -> None:
        super().__init__()
        self.W_pos = _weight(cfg.n_ctx, cfg.d_model, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return a new tensor ``[batch, pos, d_model]``: hook functions may change it in place."""
        batch, pos = tokens.shape
        return self.W_pos[:pos].repeat(batch, 1, 1)


class LayerNorm(nn.Module):
    """Normalises each vector to mean 0 and variance 1, then scales and shifts it by learned amounts."""

    def __init__(self, cfg: DemoConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.w = nn.Parameter(torch.ones(cfg.d_model))
        self.b = nn.Parameter(torch.zeros(cfg.d_model))
        self.hook_scale = HookPoint()  # [batch, pos, 1]
        self.hook_normalized = HookPoint()  # [batch, pos, d_model]

    def forward(self, residual: Tensor) -> Tensor:
        """Take and return ``[batch, pos, d_model]``."""
        centred = residual - residual.mean(-1, keepdim=True)
        scale = self.hook_scale((centred.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        normalized: Tensor = self.hook_normalized(centred / scale * self.w + self.b)
        return normalized


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    mask: Tensor

    def __init__(self, cfg: DemoConfig) -> None:
        super().__init__()
        self.cfg = cfg
        heads, model, width = cfg.n_heads, cfg.d_model, cfg.d_head
        self.W_Q, self.W_K, self.W_V = (_weight(heads, model, width, std=model**-0.5) for _ in range(3))
        self.b_Q, self.b_K, self.b_V = (nn.Parameter(torch.zeros(heads, width)) for _ in range(3))
        self.W_O = _weight(heads, width, model, std=(2 * cfg.n_layers * model) ** -0.5)
        self.b_O = nn.Parameter(torch.zeros(model))
        self.register_buffer("mask", torch.ones(cfg.n_ctx, cfg.n_ctx, dtype=torch.bool).triu(1), persistent=False)
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()  # [batch, pos, head, d_head]
        self.hook_attn_scores = HookPoint()  # [batch, head, query, key], -inf where a query may not look
        self.hook_pattern = HookPoint()  # [batch, head, query, key], each query's row sums to 1
        self.hook_z = HookPoint()  # [batch, pos, head, d_head]
        self.hook_result = HookPoint()  # [batch, pos, head, d_model], only if cfg.use_attn_result

    def forward(self, x: Tensor) -> Tensor:
        """Take normalised vectors ``[batch, pos, d_model]``, return what attention adds: the same shape."""
        q = self.hook_q(torch.einsum("bpm,hmd->bphd", x, self.W_Q) + self.b_Q)
        k = self.hook_k(torch.einsum("bpm,hmd->bphd", x, self.W_K) + self.b_K)
        v = self.hook_v(torch.einsum("bpm,hmd->bphd", x, self.W_V) + self.b_V)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * self.cfg.d_head**-0.5
        pos = x.shape[1]
        scores = self.hook_attn_scores(scores.masked_fill(self.mask[:pos, :pos], float("-inf")))
        pattern = self.hook_pattern(scores.softmax(dim=-1))
        return self._output(self.hook_z(torch.einsum("bhqk,bkhd->bqhd", pattern, v)))

    def _output(self, z: Tensor) -> Tensor:
        """Map head outputs ``[batch, pos, head, d_head]`` to their sum ``[batch, pos, d_model]``."""
        if not self.cfg.use_attn_result:
            return torch.einsum("bphd,hdm->bpm", z, self.W_O) + self.b_O
        result: Tensor = self.hook_result(torch.einsum("bphd,hdm->bphm", z, self.W_O))
        return result.sum(dim=2) + self.b_O


class Mlp(nn.Module):
    """One hidden layer, applied to each position by itself."""

    def __init__(self, cfg: DemoConfig) -> None:
        super().__init__()
        self.W_in = _weight(cfg.d_model, cfg.d_mlp, std=cfg.d_model**-0.5)
        self.b_in = nn.Parameter(torch.zeros(cfg.d_mlp))
        self.W_out = _weight(cfg.d_mlp, cfg.d_model, std=(2 * cfg.n_layers * cfg.d_mlp) ** -0.5)
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model))
        self.hook_pre = HookPoint()  # [batch, pos, d_mlp]
        self.hook_post = HookPoint()  # [batch, pos, d_mlp]

    def forward(self, x: Tensor) -> Tensor:
        """Take normalised vectors ``[batch, pos, d_model]``, return what the layer adds: the same shape."""
        pre = self.hook_pre(x @ self.W_in + self.b_in)
        post: Tensor = self.hook_post(gelu(pre))
        return post @ self.W_out + self.b_out


class Block(nn.Module):
    """One layer: attention and MLP, each reading the normalised residual stream and adding to it."""

    def __init__(self, cfg: DemoConfig) -> None:
        super().__init__()
        self.ln1, self.attn = LayerNorm(cfg), Attention(cfg)
        self.ln2, self.mlp = LayerNorm(cfg), Mlp(cfg)
        self.dropout = nn.Dropout(cfg.dropout)
        self.hook_resid_pre, self.hook_resid_mid, self.hook_resid_post = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_out, self.hook_mlp_out = HookPoint(), HookPoint()  # all five: [batch, pos, d_model]

    def forward(self, residual: Tensor) -> Tensor:
        """Take and return the residual stream ``[batch, pos, d_model]``."""
        before = self.hook_resid_pre(residual)
        middle = self.hook_resid_mid(before + self.hook_attn_out(self.dropout(self.attn(self.ln1(before)))))
        after: Tensor = self.hook_resid_post(middle + self.hook_mlp_out(self.dropout(self.mlp(self.ln2(middle)))))
        return after


class Unembed(nn.Module):
    """Reads logits off the final vectors: ``[batch, pos, d_model]`` to ``[batch, pos, d_vocab]``."""

    def __init__(self, cfg: DemoConfig) -> None:
        super().__init__()
        self.W_U = _weight(cfg.d_model, cfg.d_vocab, std=cfg.d_model**-0.5)
        self.b_U = nn.Parameter(torch.zeros(cfg.d_vocab))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, one for each token of the vocabulary."""
        return x @ self.W_U + self.b_U
