"""``hookframe families check``: a family's checks on one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hookframe.cli import output
from hookframe.cli.any_models import open_any_model

if TYPE_CHECKING:
    from hookframe.instrumenting.probing import Probing

__all__ = ["command"]


@click.command("check")
@click.argument("model")
@click.option("--family", metavar="NAME", help="The model's family; found out from its configuration if not given.")
@click.pass_context
def command(ctx: click.Context, model: str, family: str | None) -> None:
    """Run MODEL once on a small input, and try whether its family's names are where they should be.

    MODEL is module:object, or what transformers loads: a directory, a .gguf file, or a configuration as a .json file,
    which gives random weights. Attention is computed eagerly.
    """
    from hookframe.core.values.text import folded
    from hookframe.instrumenting.instrumented_model import InstrumentedModel
    from hookframe.instrumenting.probing import probe

    root = open_any_model(model, family=family, eager=True)
    if not isinstance(root, InstrumentedModel) or root.family is None:
        raise click.UsageError(f"no family recognises {model}: 'hookframe families list' shows which there are")
    tried = probe(root)
    silent = _silent(root, tried)
    click.echo(f"{type(root.wrapped).__name__}, family {root.family.name}: {tried.checked} checks")
    for finding in tried.findings:
        click.echo(click.style(f"  {finding}", fg="red"))
    for line in folded({name: tried.skipped.get(name, "its module was not called") for name in silent}):
        click.echo(click.style(f"  did not fire: {line}", fg="yellow"))
    if not tried.checked:
        click.echo("nothing could be checked: none of what the family describes is in this model")
    else:
        click.echo("all hold" if not tried.findings else f"{len(tried.findings)} do not hold")
    if tried.findings or not tried.checked:
        ctx.exit(output.FINDINGS)


def _silent(root: Any, tried: Probing) -> list[str]:
    """Points with a canonical name that did not fire."""
    first = [names[0] for names in {root.names_of(name) for name in root.hook_dict} if names[0] not in tried.values]
    own = {
        f"{module}.hook_{side}" if module else f"hook_{side}"
        for module in ("", *root.mod_dict)
        for side in ("in", "out")
    }
    return sorted(name for name in first if name not in own)
