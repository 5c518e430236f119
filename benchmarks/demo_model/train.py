"""Train the demo model on reports from the grammar: ``python -m benchmarks.demo_model.train [--out PATH] [--check]``.

Training is deterministic: on the same machine and torch version a second run gives the same weights, bit for bit
(the file may list its metadata in another order). Elsewhere numbers may be summed in another order, and the weights
drift apart a little (see :data:`TOLERANCE`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

import hookframe.demo
from hookframe.demo.grammar import encode, vocabulary, write_reports
from hookframe.demo.model import DemoConfig, DemoTransformer
from hookframe.demo.weights import read_weights, write_weights

__all__ = ["TOLERANCE", "Settings", "batch_of", "held_out_loss", "largest_difference", "loss_on", "main", "train"]

TOLERANCE = 0.2
"""``--check`` fails if any weight differs by more than this.

The same machine and torch version give 0; the same machine kept to AVX2 instructions gave 0.05, and the same loss.
"""

WEIGHTS = Path(hookframe.demo.__file__).with_name("weights.safetensors")

_HELD_OUT_SEED = 999_983  # no training step uses it
_IGNORED = -100  # a target that cross_entropy leaves out


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How long, how fast and how hard to train.

    :ivar slips: the share of mood words that the model reads in the wrong mood, while it has to predict the right ones.
        It so learns to weigh all the evidence for a mood, instead of trusting the first word, and can be steered.
    :ivar dropout: makes the model bear changes to its residual stream, and so keeps steered text fluent.
    """

    steps: int = 1600
    batch_size: int = 32
    learning_rate: float = 3e-3
    warmup: int = 50
    seed: int = 0
    slips: float = 0.05
    dropout: float = 0.1


def batch_of(read: Sequence[str], wanted: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return tokens to read and next tokens to predict, both int64 ``[batch, pos]``.

    Each wanted report has as many tokens as the one read in its place. Targets past a report's end are ignored.
    """
    inputs = [torch.tensor(encode(report, end=True)[:-1]) for report in read]
    targets = [torch.tensor(encode(report, end=True)[1:]) for report in wanted]
    return pad_sequence(inputs, batch_first=True), pad_sequence(targets, batch_first=True, padding_value=_IGNORED)


def loss_on(model: DemoTransformer, read: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Return the mean loss, in nats for each token, as a scalar that can be differentiated."""
    tokens, targets = batch_of(read, wanted)
    return cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), ignore_index=_IGNORED)


@torch.no_grad()
def held_out_loss(model: DemoTransformer, *, count: int = 512) -> float:
    """Return the mean loss, in nats for each token, on reports that training did not draw."""
    reports = write_reports(count, seed=_HELD_OUT_SEED)
    return float(loss_on(model, reports, reports))


def train(settings: Settings) -> DemoTransformer:
    """Train a new model, its weights at last rounded to float16; torch's global settings are restored."""
    with _deterministic(settings.seed):
        model = DemoTransformer(DemoConfig(d_vocab=len(vocabulary()), dropout=settings.dropout))
        optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
        for step in range(settings.steps):
            loss = _step_loss(model, settings, step)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 100 == 0:
                print(f"step {step:4d}  loss {loss.item():.3f}", file=sys.stderr)
    return model.half().float().eval()


def _step_loss(model: DemoTransformer, settings: Settings, step: int) -> Tensor:
    seed, count = settings.seed * settings.steps + step, settings.batch_size
    return loss_on(model, write_reports(count, seed=seed, slips=settings.slips), write_reports(count, seed=seed))


def _rate(step: int, settings: Settings) -> float:
    """Rise for the warm-up, then fall in a straight line to zero."""
    return min((step + 1) / settings.warmup, (settings.steps - step) / settings.steps)


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Run a block seeded, on one thread and with deterministic algorithms only, then restore what was."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)


def largest_difference(model: DemoTransformer, path: Path) -> float:
    """Return the largest absolute difference between a model's weights and those of a file."""
    shipped, _ = read_weights(path)
    trained = model.state_dict()
    return max(float((trained[name] - tensor.float()).abs().max()) for name, tensor in shipped.items())


def _figures(model: DemoTransformer, settings: Settings) -> dict[str, str]:
    """Return what the run measured and was set to, as metadata for the file."""
    return {
        "held_out_loss": f"{held_out_loss(model):.4f}",
        "parameters": str(sum(parameter.numel() for parameter in model.parameters())),
        "steps": str(settings.steps),
        "batch_size": str(settings.batch_size),
        "seed": str(settings.seed),
        "torch": str(torch.__version__),
    }


def _check(model: DemoTransformer, path: Path) -> int:
    difference = largest_difference(model, path)
    trained_with = read_weights(path)[1].get("torch")
    print(f"largest difference {difference:.2e} (tolerance {TOLERANCE}); shipped: torch {trained_with}")
    return int(difference > TOLERANCE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, then write the weights, or with ``--check`` compare them; return the exit code."""
    parser = argparse.ArgumentParser(description="Train the demo model of hookframe.")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the file to write, or to compare with")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; compare with the file, exit 1 if it differs"
    )
    options = parser.parse_args(arguments)
    settings, start = Settings(), time.perf_counter()
    model = train(settings)
    figures = _figures(model, settings)
    print({**figures, "seconds": round(time.perf_counter() - start)})
    if options.check:
        return _check(model, options.out)
    write_weights(options.out, model.state_dict(), figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
