"""A cache as a table, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from hookframe.core.cache.activation_cache import ActivationCache, bytes_of
from hookframe.core.values.text import folded

__all__ = ["cache_html"]

_ROWS = 40


def cache_html(cache: ActivationCache, rows: int = _ROWS) -> str:
    """The first ``rows`` activations with shape, dtype, device and bytes; then what was left out and what went stale."""
    report = cache.report
    cells = "".join(
        _row(key, " x ".join(map(str, value.shape)), _name(value.dtype), str(value.device), f"{bytes_of(value):,}")
        for key, value in list(cache.items())[:rows]
    )
    more = f"<p>… {len(cache) - rows} more</p>" if len(cache) > rows else ""
    heads = "".join(f"<th>{head}</th>" for head in ("activation", "shape", "dtype", "device", "bytes"))
    return (
        f"<div><strong>{escape(type(cache).__name__)}</strong> of {escape(report.model)}: {report.stored} activations, "
        f"{report.nbytes:,} bytes<table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>{more}"
        f"{_notes('left out', len(report.skipped), folded(report.skipped))}"
        f"{_notes('changed in place later', len(report.stale), report.stale)}</div>"
    )


def _name(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _notes(title: str, count: int, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<details><summary>{count} {title}</summary><ul>{items}</ul></details>"
