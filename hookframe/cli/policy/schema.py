"""``hookframe policy schema``: the shape of policy files, for editors."""

from __future__ import annotations

import click

from hookframe.cli import output

__all__ = ["command"]


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of policy files.

    Editors that know TOML complete and check a file that names it.
    """
    from hookframe.policy.files.schema import json_schema

    output.print_json(json_schema())
