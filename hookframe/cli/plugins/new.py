"""``hookframe plugins new``: a plugin to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from hookframe.cli import output

__all__ = ["command"]


@click.command("new")
@click.argument("name")
@click.option(
    "--into", default=".", type=click.Path(file_okay=False), help="The folder to put it in; here, if not given."
)
@click.option("--author", default="", help="For the licence and the metadata.")
@click.pass_context
def command(ctx: click.Context, name: str, into: str, author: str) -> None:
    """Write the distribution hookframe-NAME: a validator, an observer, tests, README, licence and CI.

    Its tests pass as it is; change it from there.
    """
    from hookframe.scaffold.writing import NewPlugin, write_plugin

    try:
        plugin = NewPlugin.named(name, author)
        folder, *files = write_plugin(plugin, Path(into))
    except OSError as error:
        click.echo(f"hookframe: {error}", err=True)
        ctx.exit(output.FINDINGS)
    click.echo(f"{plugin.distribution}: {len(files)} files in {folder}")
    click.echo(f"Next: cd {folder} && python -m pip install -e '.[test]' && pytest")
