"""``hookframe audit tail``: the end of a journal, and what comes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from hookframe.audit import Entry, plain_of
from hookframe_journal.command import given
from hookframe_journal.command.rendering import one_line
from hookframe_journal.follow import JournalFollower

__all__ = ["command"]

_PAUSE = 0.25  # seconds between two looks at the files


@click.command("tail")
@given.journal
@click.option(
    "-n", "--lines", "count", type=click.IntRange(min=0), default=10, help="How many records; 10 if not given."
)
@click.option("-f", "--follow", is_flag=True, help="Go on and show what comes, until interrupted.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), help="Follow for so many seconds.")
@given.as_json
@click.pass_context
def command(ctx: click.Context, journal: Path, count: int, follow: bool, seconds: float | None, as_json: bool) -> None:
    """Show the last records of JOURNAL, a directory or one segment, by the time at which they were recorded."""
    follower = JournalFollower(journal)
    there = sorted(follower.new_entries(), key=lambda entry: entry.time)
    for entry in there[len(there) - min(count, len(there)) :]:
        _print(entry, as_json)
    end = None if seconds is None else time.monotonic() + seconds
    while (follow and end is None) or (end is not None and time.monotonic() < end):
        time.sleep(_PAUSE)
        for entry in follower.new_entries():
            _print(entry, as_json)
    ctx.exit(given.report(follower.problems))


def _print(entry: Entry, as_json: bool) -> None:
    click.echo(json.dumps(plain_of(entry)) if as_json else one_line(entry))
