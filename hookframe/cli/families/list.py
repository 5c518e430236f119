"""``hookframe families list``: one line for each family."""

from __future__ import annotations

import click

from hookframe.cli import output
from hookframe.cli.table import print_table
from hookframe.instrumenting.choosing import families_in_force

__all__ = ["command"]


@click.command("list")
@output.as_json
def command(as_json: bool) -> None:
    """List the families that plugins provide, and the types of models by which they are recognised."""
    families = families_in_force()
    if as_json:
        rows = [{"name": f.name, "model_types": f.model_types, "names": len(f.names)} for f in families]
        output.print_json(rows)
    elif not families:
        click.echo("no plugin provides any: install hookframe-families")
    else:
        table = [
            (
                f.name,
                str(len(f.names)),
                str(len(f.gates)),
                str(len(f.checks)),
                ", ".join(f.model_types) or "(see the plugin)",
            )
            for f in families
        ]
        print_table(("FAMILY", "NAMES", "GATES", "CHECKS", "RECOGNISED BY"), table, limits={}, colours={})
