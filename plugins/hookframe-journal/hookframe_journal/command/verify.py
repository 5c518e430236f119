"""``hookframe audit verify``: whether a journal is as it was written."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from hookframe.audit import printable
from hookframe_journal.anchor import read_anchors
from hookframe_journal.command import given
from hookframe_journal.findings import Verification, limits_of
from hookframe_journal.verify import verify_journal

__all__ = ["command"]

_LONGEST_KEY = 10_000

_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("verify")
@given.journal
@click.option("--key", metavar="FILE", type=_File, help="The operator's private key, to check the MACs as well.")
@click.option("--anchors", metavar="FILE", type=_File, help="Heads of chains that were written elsewhere.")
@given.as_json
@click.pass_context
def command(ctx: click.Context, journal: Path, key: Path | None, anchors: Path | None, as_json: bool) -> None:
    """Find out whether JOURNAL, a directory or one segment, is as it was written.

    Says for each segment what was found, and what could have been done to it without being found. Exits with 3 if
    something was changed, with 1 if a segment has no footer: its process still runs, was killed, or its tail was cut off.
    """
    verifications = verify_journal(
        journal,
        private=None if key is None else _key(key),
        anchors=() if anchors is None else read_anchors(anchors),
    )
    if as_json:
        click.echo(json.dumps([_facts(verification) for verification in verifications], indent=2))
    else:
        for verification in verifications:
            for line in verification.describe().splitlines():
                click.echo(printable(line))
    ctx.exit(max(map(_code, verifications)))


def _key(file: Path) -> str:
    """The text of a file with a key; what is longer than any key is cut, and is none then."""
    with file.open(errors="replace") as stream:
        return stream.read(_LONGEST_KEY)


def _code(verification: Verification) -> int:
    if not verification.intact:
        return given.INTEGRITY
    return given.FINE if verification.finished else given.FINDINGS


def _facts(verification: Verification) -> dict[str, object]:
    findings = [{**asdict(finding), "grave": finding.grave} for finding in verification.findings]
    return {
        **asdict(verification),
        "path": str(verification.path),
        "intact": verification.intact,
        "findings": findings,
        "not_excluded": limits_of(verification),
    }
