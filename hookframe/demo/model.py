"""A small decoder-only transformer with hook points, the weights that ship with it, and text generation."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files

import torch
from torch import Tensor, nn

from hookframe.admission.request import Direction
from hookframe.core.model.hook_point import HookPoint
from hookframe.core.values.types import HookFunction
from hookframe.core.verbs.root_module import HookedRootModule
from hookframe.demo.grammar import encode, vocabulary
from hookframe.demo.layers import Block, DemoConfig, Embed, LayerNorm, PosEmbed, Unembed
from hookframe.demo.weights import check_vocabulary, read_weights

__all__ = ["DemoConfig", "DemoTransformer", "generate", "load_demo"]


class DemoTransformer(HookedRootModule):
    """A decoder-only transformer, normalised before each part (pre-norm), with learned positions.

    :ivar cfg: the sizes, and ``use_attn_result``, which may be switched at any time.
    """

    def __init__(self, cfg: DemoConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.embed, self.pos_embed = Embed(cfg), PosEmbed(cfg)
        self.dropout = nn.Dropout(cfg.dropout)
        self.hook_embed, self.hook_pos_embed = HookPoint(), HookPoint()  # [batch, pos, d_model]
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_layers))
        self.ln_final, self.unembed = LayerNorm(cfg), Unembed(cfg)
        self.setup()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return next-token logits ``[batch, pos, d_vocab]`` for int64 `tokens` ``[batch, pos]``.

        :raises ValueError: the text is longer than the model's context.
        """
        if tokens.shape[-1] > self.cfg.n_ctx:
            raise ValueError(f"{tokens.shape[-1]} tokens do not fit the context of {self.cfg.n_ctx}: shorten the text")
        words, places = self.dropout(self.embed(tokens)), self.pos_embed(tokens)
        residual: Tensor = self.hook_embed(words) + self.hook_pos_embed(places)
        for block in self.blocks:
            residual = block(residual)
        logits: Tensor = self.unembed(self.ln_final(residual))
        return logits

    def check_hooks_to_add(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        prepend: bool = False,
    ) -> None:
        """Refuse hooks at ``attn.hook_result`` while ``cfg.use_attn_result`` is off, as they would never fire.

        :raises AssertionError: in that case; nothing was attached.
        """
        if hook_point_name.endswith("attn.hook_result") and not self.cfg.use_attn_result:
            raise AssertionError(
                f"cannot add a hook at {hook_point_name!r}: it never fires while cfg.use_attn_result is False; "
                "set model.cfg.use_attn_result = True first"
            )


def load_demo() -> DemoTransformer:
    """Build the demo model, in eval mode and on the CPU, with the weights that ship in this package.

    :raises ValueError: the weights were trained for another vocabulary.
    """
    with as_file(files("hookframe.demo") / "weights.safetensors") as path:
        weights, metadata = read_weights(path)
    check_vocabulary(metadata)
    model = DemoTransformer(DemoConfig(d_vocab=len(vocabulary())))
    model.load_state_dict(weights)
    return model.eval()


@torch.no_grad()
def generate(
    model: DemoTransformer,
    prompt_tokens: Sequence[int],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[int]:
    """Continue a prompt, and return prompt and continuation.

    Each token is one call of the model on all of the text so far, so attached hooks apply throughout. It ends early with
    the end token, and where the model's context is full. Temperature 0 takes the likeliest token each time; otherwise
    the same `seed` gives the same text. No gradients are kept.
    """
    (end,) = encode("", end=True)[1:]
    generator = torch.Generator().manual_seed(seed)
    tokens = list(prompt_tokens)
    for _ in range(min(max_new_tokens, model.cfg.n_ctx - len(tokens))):
        logits = model(torch.tensor([tokens]))[0, -1]  # [d_vocab]
        tokens.append(_next_token(logits, temperature, generator))
        if tokens[-1] == end:
            break
    return tokens


def _next_token(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """Choose one token by its logits ``[d_vocab]``: the likeliest at temperature 0, else a sample."""
    if temperature == 0.0:
        return int(logits.argmax())
    return int(torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator))
