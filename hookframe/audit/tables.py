"""Rows of one kind as columns: what all rows agree in stands once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hookframe.errors import InvalidWireData

__all__ = ["rows_of", "table_of"]

_MOST_ALIKE = 1000  # so many rows may be equal in every field: a short line does not stand for millions of rows


def table_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """``rows``, with a value for each of ``names``, as plain data. A column ``index`` that counts from 0 is left out."""
    same: dict[str, Any] = {}
    each: dict[str, list[Any]] = {}
    for name, column in zip(names, zip(*rows, strict=True), strict=False):
        if name == "index" and column == tuple(range(len(rows))):
            continue
        if column.count(column[0]) == len(column):
            same[name] = column[0]
        else:
            each[name] = list(column)
    return {"count": len(rows), "same": same, "each": each}


def rows_of(table: object) -> Iterator[dict[str, Any]]:
    """The rows of a table, as name → value, with the index that was left out.

    :raises InvalidWireData: if it is no table.
    """
    if not isinstance(table, Mapping) or set(table) != {"count", "same", "each"}:
        raise InvalidWireData("no table: a table has count, same and each")
    count, same, each = table["count"], table["same"], table["each"]
    if not isinstance(same, Mapping) or not isinstance(each, Mapping):
        raise InvalidWireData("no table: same and each are no objects")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0 or (count > _MOST_ALIKE and not each):
        raise InvalidWireData(f"no table: it cannot have {count!r} rows")
    if any(not isinstance(column, list) or len(column) != count for column in each.values()):
        raise InvalidWireData(f"no table: a column has not {count} values")
    return _rows(count, same, each)


def _rows(count: int, same: Mapping[str, Any], each: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for index in range(count):
        yield {"index": index, **same, **{name: column[index] for name, column in each.items()}}
