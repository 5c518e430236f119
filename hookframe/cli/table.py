"""A table for a terminal, without the noticeable time that importing a library for it takes."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

import click

__all__ = ["print_table"]

_GAP = "  "


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, limits: Mapping[str, int], colours: Mapping[str, str]
) -> None:
    """Print rows under headings; the last column takes what is left of the terminal's width.

    :param limits: heading → the width at which its column is wrapped.
    :param colours: the text of a cell → its colour.
    """
    widths = [min(max(map(len, column)), limits.get(column[0], 1000)) for column in zip(headings, *rows, strict=True)]
    widths[-1] = max(24, shutil.get_terminal_size().columns - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1))
    click.echo(_line(headings, widths, dict.fromkeys(headings, "bold")))
    for row in rows:
        for cells in _wrapped(row, widths):
            click.echo(_line(cells, widths, colours))


def _wrapped(row: Sequence[str], widths: Sequence[int]) -> Iterator[tuple[str, ...]]:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    return zip_longest(*columns, fillvalue="")


def _line(cells: Sequence[str], widths: Sequence[int], colours: Mapping[str, str]) -> str:
    while len(cells) > 1 and not cells[-1]:  # nothing to be seen, and blanks at the end of a line
        cells, widths = cells[:-1], widths[:-1]
    *padded, last = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    styled = [_styled(text, colours.get(cell)) for text, cell in zip([*padded, last.rstrip()], cells, strict=True)]
    return _GAP.join(styled).rstrip()


def _styled(text: str, colour: str | None) -> str:
    if colour is None:
        return text
    return click.style(text, bold=True) if colour == "bold" else click.style(text, fg=colour)
