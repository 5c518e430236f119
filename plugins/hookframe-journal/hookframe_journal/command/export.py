"""``hookframe audit export``: a journal in another format."""

from __future__ import annotations

import io
from pathlib import Path

import click

from hookframe.audit import Problem, read_journal
from hookframe_journal.command import given
from hookframe_journal.export import write_csv, write_json, write_sarif

__all__ = ["command"]

_WRITERS = {"csv": write_csv, "json": write_json, "sarif": write_sarif}


@click.command("export")
@given.journal
@click.option("--format", "name", type=click.Choice(sorted(_WRITERS)), required=True, help="What to write.")
@click.option("-o", "--output", type=click.File("wb"), default="-", help="Where to; standard output if not given.")
@click.pass_context
def command(ctx: click.Context, journal: Path, name: str, output: io.BufferedIOBase) -> None:
    """Write JOURNAL, a directory or one segment, in another format.

    csv has a line for each event and each objection; json a list with all that was recorded; sarif (2.1.0) a result for
    each objection. It exports what the files say; verify them first.
    """
    problems: list[Problem] = []
    stream = io.TextIOWrapper(output, encoding="utf-8", errors="backslashreplace", newline="")  # type: ignore[type-var]  # click opened it for bytes
    _WRITERS[name](read_journal(journal, problems), stream)
    stream.detach()
    ctx.exit(given.report(problems))
