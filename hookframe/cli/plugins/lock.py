"""``hookframe plugins lock``: pins in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hookframe.cli import output
from hookframe.host.installed.inventory import take_inventory
from hookframe.host.installed.lock import LockDifference, compare, lock_installed
from hookframe.host.installed.rules import LoadingRules

__all__ = ["command"]

_FILE = "hookframe.lock.toml"


@click.command("lock")
@click.argument("file", default=_FILE, type=click.Path(dir_okay=False))
@click.option("--check", is_flag=True, help="Compare what is installed with FILE, and write nothing.")
@click.pass_context
def command(ctx: click.Context, file: str, check: bool) -> None:
    """Pin name, version and digest of every installed plugin in FILE (hookframe.lock.toml if none is given).

    FILE is not written if the files of a plugin do not match RECORD. Nothing is imported.
    """
    ctx.exit(_check(file) if check else _write(Path(file)))


def _check(file: str) -> int:
    rules = LoadingRules.from_toml(file)
    differences = compare(take_inventory(), rules)
    if not differences:
        click.echo(f"{len(rules.pins)} plugins are as {file} says")
    return _report(differences)


def _write(file: Path) -> int:
    lock = lock_installed(take_inventory())
    code = _report(lock.doubts)
    if code == output.INTEGRITY:
        click.echo(f"{file} was not written: reinstall these plugins first", err=True)
        return code
    try:
        file.write_text(lock.to_toml(), encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{file} cannot be written: {error.strerror}", param_hint="FILE") from error
    click.echo(f"{len(lock.pins)} plugins are pinned in {file}")
    return code


def _report(differences: Sequence[LockDifference]) -> int:
    for difference in differences:
        click.echo(str(difference), err=True)
    if any(difference.integrity for difference in differences):
        return output.INTEGRITY
    return output.FINDINGS if differences else output.FINE
