"""Row 9: hook points on a model of somebody else's, against torch's own hooks and against peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.peers import nnsight
from benchmarks.row import Row
from benchmarks.timing import interleaved

__all__ = ["rows"]


def gpt2() -> Any | None:
    """GPT-2 in a small size, with random weights; None without transformers."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return None
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_layer=12, n_embd=64, n_head=4, vocab_size=512, n_positions=64)).eval()


@torch.no_grad()
def rows(rounds: int) -> Iterator[Row]:
    """Save the outputs of 12 blocks."""
    model = gpt2()
    if model is None:
        return
    import hookframe

    tokens = torch.randint(0, 512, (1, 8))
    blocks = model.transformer.h
    hooked = hookframe.instrument(model)
    names = [f"transformer.h.{index}.hook_out" for index in range(len(blocks))]

    def raw() -> dict[str, torch.Tensor]:
        kept: dict[str, torch.Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            def hook(module: Any, args: Any, output: Any) -> None:
                kept[name] = (output[0] if isinstance(output, tuple) else output).detach()

            return hook

        handles = [block.register_forward_hook(keep(name)) for name, block in zip(names, blocks, strict=True)]
        try:
            model(tokens)
        finally:
            for handle in handles:
                handle.remove()
        return kept

    cases: dict[str, Callable[[], object]] = {
        "hookframe": lambda: hooked.run_with_cache(tokens, names_filter=names),
        "bare": lambda: model(tokens), "raw hooks": raw,
    }  # fmt: skip
    limits = {"bare": 1.15, "raw hooks": 1.10}
    what = "GPT-2 tiny, save 12 block outputs"
    yield Row(number="9", what=what, seconds=interleaved(cases, rounds), limits=limits)
    other = nnsight()
    if other is not None:  # in a row of its own: what a peer leaves in the processor's caches is not for the others
        peer = {"hookframe": cases["hookframe"], "nnsight": saving(other, model, tokens)}
        yield Row(number="9", what=what, seconds=interleaved(peer, rounds))


def saving(other: Any, model: Any, tokens: torch.Tensor) -> Callable[[], object]:
    """The same with nnsight."""
    traced = other.NNsight(model)

    def run() -> list[Any]:
        with traced.trace(tokens):  # compiled on its own: there can be no return in it, and what is wanted is saved
            kept = [block.output[0].save() for block in traced.transformer.h].save()  # type: ignore[attr-defined]  # nnsight
        return kept  # noqa: RET504  # the block above has an end of its own

    assert len(run()) == len(model.transformer.h)
    return run
