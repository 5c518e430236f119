"""``hookframe run-plan``: texts through a model, without a plan of hooks and with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hookframe.cli.any_models import eagerly
from hookframe.cli.devices import on_device
from hookframe.cli.in_force import leaving_out
from hookframe.cli.plugins import asking

if TYPE_CHECKING:
    from hookframe.capture.text_model import TextModel
    from hookframe.plan.hook_plan import HookPlan

__all__ = ["command"]


@click.command("run-plan")
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("model")
@click.option("--text", "given", metavar="TEXT", multiple=True, help="A text to run; can be repeated.")
@click.option(
    "--input",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts: one a line, or JSON Lines (.jsonl).",
)
@click.option("--max-new-tokens", type=click.IntRange(1), default=40, show_default=True, help="How much to write.")
@click.option("--out", type=click.Path(path_type=Path), help="Save what the plan's capture hooks keep there.")
@click.option("--family", help="The family of the model, if hookframe cannot tell.")
@eagerly
@on_device
@asking.no_plugin
@click.option("--dry-run", is_flag=True, help="Show the plan, and ask admission; run nothing.")
def command(
    plan: Path,
    model: str,
    given: tuple[str, ...],
    file: Path | None,
    max_new_tokens: int,
    out: Path | None,
    family: str | None,
    eager: bool,
    device: str | None,
    without: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Run texts through MODEL without PLAN and with it, and show both.

    PLAN is a file of hooks as data; reading it runs no code. MODEL is a directory or name that transformers loads,
    module:object that gives a TextModel, or demo. A model that writes continues each text; for another model, the
    verb says how far its output moved.
    """
    from hookframe.capture.texts import TextFile
    from hookframe.cli.text_models import open_text_model
    from hookframe.plan.hook_plan import HookPlan

    hooks = HookPlan.from_toml(plan)
    texts = [*given, *(TextFile(file).rows() if file is not None else ())]
    if not texts and not dry_run:
        raise click.UsageError("no text to run: give some with --text or --input")
    if out is not None and out.exists():
        raise click.UsageError(f"{str(out)!r} exists already: name another directory with --out")
    with leaving_out(without):
        opened = open_text_model(model, family=family, device=device, eager=eager)
        click.echo(f"{hooks!r}, digest {hooks.digest}")
        for hook in hooks.hooks:
            click.echo(
                f"  {hook.operation} at {hook.points if isinstance(hook.points, str) else ', '.join(hook.points)}"
            )
        with opened.root.apply_plan(hooks):  # nothing is run if it is refused
            pass
        if not dry_run:
            _show(opened, hooks, texts, max_new_tokens, out)


def _show(opened: TextModel, plan: HookPlan, texts: list[str], count: int, out: Path | None) -> None:
    before = _results(opened, texts, count)
    with opened.root.apply_plan(plan) as cache:
        after = _results(opened, texts, count)
    for text, plain, changed in zip(texts, before, after, strict=True):
        click.echo(f"\n{text}")
        if opened.generate is None:
            moved = float((changed - plain).norm() / plain.norm().clamp_min(1e-12))
            click.echo(f"  its output moved by {moved:.1%} of its norm")
        else:
            click.echo(f"  without  {plain}\n  with     {changed}")
    if out is not None:
        cache.save(out)
        click.echo(f"\n{len(cache)} activations saved in {out}")


def _results(opened: TextModel, texts: list[str], count: int) -> list[Any]:
    if opened.generate is not None:
        return opened.generate(texts, count)
    import torch

    with torch.no_grad():
        return [_first_tensor(opened.root(**opened.encode([text]).arguments)) for text in texts]


def _first_tensor(output: Any) -> Any:
    from torch.utils._pytree import tree_leaves

    return next(leaf for leaf in tree_leaves(output) if hasattr(leaf, "norm"))
