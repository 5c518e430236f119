"""``hookframe capture``: the activations of thousands of texts to shards on disk; it can be killed and called again."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hookframe.cli.any_models import eagerly
from hookframe.cli.devices import on_device
from hookframe.cli.in_force import leaving_out
from hookframe.cli.plugins import asking
from hookframe.cli.sizes import SIZE, human

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from hookframe.capture.job import CaptureJob, Progress

__all__ = ["command"]

_INTERRUPTED = 130


@click.command("capture")
@click.argument("model")
@click.option("--names", metavar="GLOB", multiple=True, required=True, help="Hook points; can be repeated.")
@click.option(
    "--input",
    "texts",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts: one a line, or JSON Lines (.jsonl). Blank lines are left out and are no rows.",
)
@click.option("--field", default="text", show_default=True, help="Where the text is in a line of JSON.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The directory to fill.")
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True, help="Texts to a forward.")
@click.option("--max-length", type=click.IntRange(1), help="Cut texts after so many tokens.")
@click.option("--max-bytes", type=SIZE, help="Refuse to write more: 500MB, 2GiB.")
@click.option("--shard-bytes", type=SIZE, default="32MiB", show_default=True, help="Close a shard when it is so large.")
@click.option("--family", help="The family of the model, if hookframe cannot tell.")
@eagerly
@on_device
@asking.no_plugin
@click.option("--dry-run", is_flag=True, help="Say what would be captured, and ask admission; run and write nothing.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    model: str,
    names: tuple[str, ...],
    texts: Path,
    field: str,
    out: Path,
    batch_size: int,
    max_length: int | None,
    max_bytes: int | None,
    shard_bytes: int,
    family: str | None,
    eager: bool,
    device: str | None,
    without: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Write the activations of every text in a file to shards of tensors.

    MODEL is a directory or name that transformers loads, module:object that gives a TextModel, or demo. Kill it at any
    moment and call it again: it goes on where it stopped, and the shards are those of an uninterrupted capture.
    """
    from hookframe.capture.job import CaptureJob
    from hookframe.capture.texts import TextFile
    from hookframe.cli.text_models import open_text_model

    with leaving_out(without):
        job = CaptureJob(
            model=open_text_model(model, family=family, max_length=max_length, device=device, eager=eager),
            names=names,
            texts=TextFile(texts, field),
            out=out,
            batch_size=batch_size,
            shard_bytes=shard_bytes,
            max_bytes=max_bytes,
        )
        if dry_run or max_bytes is not None or job.model.root.controller.wants("check_cache"):
            _estimate(job, show=dry_run)
        if not dry_run:
            ctx.exit(_run(job))


def _estimate(job: CaptureJob, *, show: bool) -> None:
    """Tell what the capture will come to, and refuse it if that is too much.

    :raises CacheTooLarge: if it is more than ``max_bytes``.
    :raises EstimateError: if it cannot be told, and is to be shown.
    """
    from hookframe.capture.captured import too_large
    from hookframe.capture.job_estimate import estimate_job
    from hookframe.errors import EstimateError

    try:
        estimate = estimate_job(job)
    except EstimateError:
        if show:
            raise
        return  # the bound holds while shards are written
    if show:
        click.echo(f"{len(estimate.points)} hook points, admitted:")
        for name in estimate.points:
            click.echo(f"  {name}")
        click.echo(f"{estimate.rows:,} rows in {estimate.batches:,} forwards, {human(estimate.nbytes)} of activations")
    if job.max_bytes is not None and estimate.nbytes > job.max_bytes:
        raise too_large(f"the capture with {estimate.nbytes:,} bytes", 0, job.max_bytes)


def _run(job: CaptureJob) -> int:
    told: list[Progress] = []
    total = job.survey.rows
    with _bar() as bar:
        task = bar.add_task("", total=total, rows=0, size=human(0))

        def tell(progress: Progress) -> None:
            if not told and 0 < progress.rows < total:
                bar.console.print(f"going on after {progress.rows:,} of {total:,} rows", highlight=False)
            told.append(progress)
            bar.update(task, completed=progress.rows, rows=f"{progress.rows:,}", size=human(progress.nbytes))

        try:
            job.run(tell)
        except KeyboardInterrupt:
            rows = told[-1].rows if told else 0
            click.echo(f"stopped after {rows:,} rows: call it again to go on", err=True)
            return _INTERRUPTED
    done = "already complete: " if told[0].rows == total else ""
    click.echo(f"{done}{total:,} rows, {human(told[-1].nbytes)} of activations in {job.out}")
    return 0


def _bar() -> AbstractContextManager[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        BarColumn(),
        TextColumn("{task.fields[rows]} of {task.total:,} rows"),
        TextColumn("{task.fields[size]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
