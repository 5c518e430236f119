"""The verb ``hookframe timings``: summaries as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from hookframe_timing.summary import read_summaries
from hookframe_timing.tally import Row

__all__ = ["command"]

FINE, FINDINGS = 0, 1
_FORMAT = "{:>9}  {:>11}  {:>10}  {:>11}  {:>6}  {}"


@click.command("timings")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--slow-us", metavar="N", type=click.FloatRange(min=0, min_open=True), help="Find fault with slow ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def command(ctx: click.Context, file: Path, slow_us: float | None, as_json: bool) -> None:
    """Show how long hook functions took, by what is in FILE, those that took longest in total first.

    All summaries in the file are added up. Exits with 1 if --slow-us is given and a function's calls take more
    microseconds than that on average, with 2 if the file cannot be read.
    """
    try:
        rows = read_summaries(file)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{str(file)!r}: {error}", param_hint="FILE") from error
    slow = [row for row in rows if slow_us is not None and row.mean_us > slow_us]
    if as_json:
        click.echo(json.dumps([asdict(row) | {"mean_us": row.mean_us} for row in rows], indent=2))
    elif rows:
        for line in _table(rows):
            click.echo(line)
    else:
        click.echo("No hook function was timed.")
    for row in slow:
        click.echo(f"slow: {_shown(row)} takes {row.mean_us:.1f} us on average", err=True)
    ctx.exit(FINDINGS if slow else FINE)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield _FORMAT.format("calls", "total ms", "mean us", "longest us", "failed", "function")
    for row in rows:
        times = f"{row.total_ns / 1e6:.3f}", f"{row.mean_us:.1f}", f"{row.longest_ns / 1e3:.1f}"
        yield _FORMAT.format(row.calls, *times, row.failures, _shown(row))


def _shown(row: Row) -> str:
    """The function's name, unable to break the line or to drive the terminal."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(row))
