"""``hookframe policy diff``: what another policy changes."""

from __future__ import annotations

from dataclasses import asdict

import click

from hookframe.cli import output
from hookframe.cli.in_force import in_force
from hookframe.cli.policy.given import read_policy
from hookframe.policy.in_force.policy import Policy
from hookframe.policy.tools.comparing import PolicyDifference, differences

__all__ = ["command"]

_IN_FORCE = "in-force"


@click.command("diff")
@click.argument("before")
@click.argument("after")
@output.as_json
@click.pass_context
def command(ctx: click.Context, before: str, after: str, as_json: bool) -> None:
    """Show what is not the same in the policy AFTER as in the policy BEFORE.

    Each is a file, several with commas between them, or in-force. Exits with 1 if there is a difference.
    """
    found = differences(_read(before), _read(after))
    if as_json:
        output.print_json([asdict(difference) for difference in found])
    else:
        for difference in found:
            _print(difference)
        if not found:
            click.echo("no difference")
    ctx.exit(output.FINDINGS if found else output.FINE)


def _read(files: str) -> Policy:
    return in_force() if files == _IN_FORCE else read_policy(files.split(","))


def _print(difference: PolicyDifference) -> None:
    head = f"{difference.kind} {difference.name}" + (f", {difference.part}" if difference.part else "")
    click.echo(click.style(head, bold=True))
    if difference.before is not None:
        click.echo(click.style(f"  - {difference.before}", fg="red"))
    if difference.after is not None:
        click.echo(click.style(f"  + {difference.after}", fg="green"))
