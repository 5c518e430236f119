"""``hookframe demo``: hooks, a cache, steering, a denial and the log, on a small trained model that ships with hookframe."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from hookframe.core.cache.activation_cache import ActivationCache
    from hookframe.demo.model import DemoTransformer
    from hookframe.host.running.manager import PluginManager

__all__ = ["command"]

_PROMPTS = {"bright": -1.0, "gloomy": 1.0}  # the mood of the prompt → the direction to steer in
_OPTIONS = {"hookframe-mps": {"on_mps": "deny"}, "hookframe-log": {"level": "info", "format": "text"}}


@click.command("demo")
@click.option("--seed", default=4, show_default=True, help="Which reports to use as prompts.")
@click.option(
    "--no-plugin", "without", metavar="NAME", multiple=True, help="Leave a distribution out; can be repeated."
)
def command(seed: int, without: tuple[str, ...]) -> None:
    """See hooks, steering, a denial and the log on a small trained model.

    Runs in a few seconds on a CPU, and needs nothing from outside.
    """
    import torch
    from rich.console import Console

    from hookframe.demo.model import load_demo
    from hookframe.host.running.manager import PluginManager
    from hookframe.host.running.using import use_plugins

    torch.set_num_threads(1)  # the model is so small that a second thread costs more than it brings
    console = Console(highlight=False)
    manager = PluginManager.installed(without=without, options=_OPTIONS)
    with _collected_log() as lines, use_plugins(manager):
        _show_plugins(console, manager)
        model = load_demo()
        _show_points(console, model)
        _show_cache(console, model, seed)
        _show_steering(console, model, seed)
        _show_refusals(console, model)
    _show_log(console, lines)


@contextmanager
def _collected_log() -> Iterator[list[str]]:
    """Collect what ``hookframe-log`` writes, instead of printing it in between."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, collector = logging.getLogger("hookframe.log"), Collector()
    before = logger.level, logger.propagate
    logger.addHandler(collector)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(collector)
        logger.level, logger.propagate = before


def _heading(console: Console, number: int, text: str) -> None:
    console.print(f"\n[bold]{number}. {text}[/bold]")


def _say(console: Console, text: str, *, style: str = "", indent: int = 3) -> None:
    """Print a paragraph; wrapped lines keep its indent."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(Padding(Text(text, style), (0, 0, 0, indent)))


def _label(console: Console, label: str, text: str, *, style: str = "", indent: int = 6) -> None:
    """Print a label and a paragraph beside it."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=12, no_wrap=True)
    grid.add_column()
    grid.add_row(Text(label, "dim"), Text(text, style))
    console.print(Padding(grid, (0, 0, 0, indent)))


def _show_plugins(console: Console, manager: PluginManager) -> None:
    _heading(console, 1, "Plugins that were found through their entry points")
    for record in manager.records:
        _say(console, f"{record.name} {record.version or ''}: {record.state} ({record.reason})")
    if not manager.records:
        _say(console, "none: install hookframe-mps and hookframe-log to see a denial and a log below")


def _show_points(console: Console, model: DemoTransformer) -> None:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    _heading(console, 2, f"A small transformer ({parameters:,} parameters) with {len(model.hook_dict)} hook points")
    outside = [name for name in model.hook_dict if not name.startswith("blocks.")]
    block = [name.removeprefix("blocks.0.") for name in model.hook_dict if name.startswith("blocks.0.")]
    _say(console, f"around the blocks: {', '.join(outside)}")
    _say(console, f"in each of {len(model.blocks)} blocks: {', '.join(block)}")


def _show_cache(console: Console, model: DemoTransformer, seed: int) -> None:
    import torch
    from rich.table import Table

    from hookframe.demo.grammar import encode, write_report

    report = write_report(seed, "bright")
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor([encode(report)]))
    _heading(console, 3, "run_with_cache: every activation, while the model reads")
    _say(console, report, style="italic")
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for heading in ("   hook point", "shape", "mean norm"):
        table.add_column(heading)
    for name, shape, norm in _rows(cache):
        table.add_row(f"   {name}", shape, norm)
    console.print(table)
    _say(console, f"{len(cache)} activations, {cache.nbytes:,} bytes; left out: {len(cache.skipped)}")
    for name, reason in list(cache.skipped.items())[:1]:
        _say(console, f"e.g. {name}: {reason}")


def _rows(cache: ActivationCache) -> Iterator[tuple[str, str, str]]:
    shown = (
        "hook_embed",
        "attn.hook_q",
        "attn.hook_pattern",
        "hook_mlp_out",
        "hook_resid_post",
        "ln_final.hook_normalized",
    )
    for name, value in cache.items():
        if name.endswith(shown) and not name.startswith(("blocks.1.", "blocks.2.")):
            shape = " x ".join(map(str, value.shape))
            yield name, shape, f"{value.norm(dim=-1).mean():.2f}"


def _show_steering(console: Console, model: DemoTransformer, seed: int) -> None:
    from hookframe.demo.grammar import opening, write_report
    from hookframe.demo.steering import (
        COEFFICIENT,
        LAYER,
        continuation,
        mood_score,
        mood_vector,
        resid_post,
        steering_hook,
    )

    point, vector = resid_post(LAYER), mood_vector(model)
    _heading(console, 4, f"Steering: one vector, added at {point}, turns the mood of what is written")
    for mood, sign in _PROMPTS.items():
        prompt = opening(write_report(seed, mood))  # type: ignore[arg-type]  # the keys are the two moods
        before = continuation(model, prompt)
        with model.hooks(fwd_hooks=[(point, steering_hook(vector, sign * COEFFICIENT))]):
            after = continuation(model, prompt)
        _label(console, "prompt", prompt, style="italic", indent=3)
        for label, text in (("before", before), ("steered", after)):
            _label(console, label, f"({mood_score(text):.0%} bright) {text}", indent=3)
        console.print()


def _show_refusals(console: Console, model: DemoTransformer) -> None:
    import torch

    from hookframe.demo.grammar import encode
    from hookframe.errors import HookDenied

    _heading(console, 5, "Admission: what is refused says who, why, and what to do")
    tokens = torch.tensor([encode("")])
    _say(console, "model.run_with_cache(tokens, device='mps')")
    try:
        model.run_with_cache(tokens, device="mps")
    except HookDenied as refusal:
        for objection in refusal.decision.denials:
            _label(console, "refused by", f"{objection.source}, rule {objection.rule}", style="red")
            _label(console, "because", objection.message)
            _label(console, "remedy", objection.remedy, style="green")
    except RuntimeError as error:
        _label(console, "no plugin", f"objected, and torch said: {str(error).splitlines()[0]}")
    _say(console, "model.add_hook('blocks.0.attn.hook_result', hook)")
    try:
        model.add_hook("blocks.0.attn.hook_result", lambda tensor, hook: None)
    except AssertionError as refusal:
        _label(console, "refused by", "the model's own check_hooks_to_add", style="red")
        _label(console, "because", str(refusal))


def _show_log(console: Console, lines: list[str], first: int = 6, last: int = 12) -> None:
    _heading(console, 6, f"What hookframe-log wrote meanwhile ({len(lines)} lines)")
    if not lines:
        _say(console, "nothing: hookframe-log is not installed, or was left out")
    cut = len(lines) - first - last
    shown = lines if cut <= 1 else [*lines[:first], f"… {cut} more lines …", *lines[-last:]]
    for line in shown:
        console.print(f"   {line}", markup=False, overflow="ellipsis", no_wrap=True)
