"""An entry as one line of JSON for a program."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hookframe_log.entry import Entry, Many

__all__ = ["SHOWN", "fields_of", "json_line"]

SHOWN = 20
"""So many items of each list are written out; ``<key>_total`` says how many there are."""


def fields_of(entry: Entry) -> dict[str, Any]:
    """``entry`` as plain data: the same keys for every entry of one kind of event, null where an event does not say."""
    flat: dict[str, Any] = {
        "event": entry.event,
        "model": entry.model,
        "operation": entry.operation,
        "route": entry.route,
    }
    for key, value in {"points": entry.points, **entry.facts}.items():
        if isinstance(value, Many):
            flat |= {key: list(value.items[:SHOWN]), f"{key}_total": len(value)}
        else:
            flat[key] = value
    return flat


def json_line(fields: dict[str, Any], level: str, created: float) -> str:
    """One object on one line, its keys sorted.

    :param created: seconds since the epoch; written as ISO 8601 in UTC under ``time``.
    """
    time = datetime.fromtimestamp(created, UTC).isoformat(timespec="microseconds")
    return json.dumps({**fields, "severity": level, "time": time}, sort_keys=True)
