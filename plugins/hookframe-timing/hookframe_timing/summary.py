"""Summaries in a file: one line of JSON for each process, so that several processes can write to one file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hookframe_timing.tally import Row, merged

__all__ = ["SCHEMA", "append_summary", "read_summaries"]

SCHEMA = 1
"""The version of the format."""
_LONGEST = 16 << 20  # bytes of one line: far more than the functions of one process


def append_summary(path: Path, rows: Sequence[Row]) -> None:
    """Append one line to ``path``, in one write.

    :raises OSError: if it cannot be written.
    """
    summary = {
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "process": os.getpid(),
        "functions": [asdict(row) for row in rows],
    }
    with path.open("ab", buffering=0) as file:
        file.write((json.dumps(summary) + "\n").encode())


def read_summaries(path: Path) -> list[Row]:
    """All summaries of a file together: one row for each function, those that took longest in total first.

    :raises OSError: if it cannot be read.
    :raises ValueError: for the first line that is no summary; its text says which, and what is wrong.
    """
    found: list[Row] = []
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST + 1):
            number += 1
            try:
                if len(line) > _LONGEST:
                    raise ValueError(f"it is longer than {_LONGEST:,} bytes")
                found = merged([*found, *_rows(json.loads(line))])
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} is no summary of timings: {error}") from error
    return found


def _rows(summary: Any) -> list[Row]:
    if not isinstance(summary, dict) or not isinstance(summary.get("functions"), list):
        raise ValueError("it holds no functions")  # noqa: TRY004  # as for every other line that is none
    if summary.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {summary.get('schema')!r}, and this version reads {SCHEMA}")
    return [_row(facts) for facts in summary["functions"]]


def _row(facts: Any) -> Row:
    if not isinstance(facts, dict) or facts.keys() != _KINDS.keys():
        raise ValueError(f"a function has other keys than {[*_KINDS]}")
    for key, kind in _KINDS.items():
        value = facts[key]
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise ValueError(f"{key} is {value!r}")
    return Row(**facts)


_KINDS = {field.name: str if field.name in ("module", "qualname") else int for field in fields(Row)}
