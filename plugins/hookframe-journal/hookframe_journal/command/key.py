"""``hookframe audit key``: a pair of keys for journals with a forward-secure MAC."""

from __future__ import annotations

import os
from pathlib import Path

import click

from hookframe_journal.sealing import new_key_pair

__all__ = ["command"]


@click.command("key")
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Write a new private key to FILE, which must not exist, and print its public key.

    The public key goes into the policy, as sealed_to. The private key is for verifying: keep it away from the machines
    that write journals.
    """
    private, public = new_key_pair()
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.BadParameter(f"{str(file)!r} cannot be made: {error.strerror}", param_hint="FILE") from error
    with os.fdopen(handle, "w") as stream:
        stream.write(private + "\n")
    click.echo(public)
