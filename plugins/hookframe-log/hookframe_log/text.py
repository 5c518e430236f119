"""An entry as one short line for a person at a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rich.filesize import decimal

from hookframe_log.entry import Entry, Many, counted

__all__ = ["SHOWN", "text_line"]

SHOWN = 3
"""So many names stand in a line before it says how many there are besides."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def text_line(entry: Entry) -> str:
    """``entry`` in one line without control characters."""
    line = f"{_head(entry)}: {_PHRASES[entry.event](entry)}"
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], line)


def _head(entry: Entry) -> str:
    return " on ".join(part for part in (entry.route, entry.model) if part) or "hooks"


def _decision_made(entry: Entry) -> str:
    facts = entry.facts
    said = f"{'admitted' if facts['allowed'] else 'refused'} {facts['subject']}"
    said += _left_out(facts)
    if facts["device_instead"]:
        said += f", on device {facts['device_instead']!r} instead"
    reasons = Many(tuple(map(_reason, facts["objections"].items)))
    return said + (f"; {reasons.brief(SHOWN)}" if reasons else "")


def _reason(objection: Mapping[str, Any]) -> str:
    where = "" if objection["point"] is None else f" at {objection['point']}"
    return f"{objection['action']} by {objection['source']} ({objection['rule']}){where}"


def _hooks_added(entry: Entry) -> str:
    facts = entry.facts
    kinds = [f"{facts[kind]} {kind}" for kind in ("caching", "permanent") if facts[kind]]
    at = Many(tuple(point for point in entry.points.items if point not in facts["left_out"].items))
    return (
        f"{counted(facts['hooks'], 'hook')} added"
        + (f" ({', '.join(kinds)})" if kinds else "")
        + (f" at {at.brief(SHOWN)}" if at else "")
        + (f": {facts['functions'].brief(SHOWN)}" if facts["functions"] else "")
        + _left_out(facts)
    )


def _hooks_removed(entry: Entry) -> str:
    return f"{counted(entry.facts['hooks'], 'hook')} removed at {entry.points.brief(SHOWN)}"


def _hooks_reset(entry: Entry) -> str:
    facts = entry.facts
    permanent = "permanent ones too" if facts["including_permanent"] else "permanent ones kept"
    return f"{counted(facts['hooks'], 'hook')} removed ({facts['direction']}, {permanent})"


def _context_entered(entry: Entry) -> str:
    return f"context entered with {counted(entry.facts['hooks'], 'hook')}, level {entry.facts['level']}"


def _context_exited(entry: Entry) -> str:
    facts = entry.facts
    return f"context left, {counted(facts['hooks'], 'hook')} removed, level {facts['level']}{_ended(facts)}"


def _cache_started(entry: Entry) -> str:
    facts = entry.facts
    gradients = " and their gradients" if facts["gradients"] else ""
    device = f" on {facts['device']}" if facts["device"] else ""
    return f"caching {counted(len(entry.points), 'point')}{gradients}{device}"


def _cache_finished(entry: Entry) -> str:
    facts = entry.facts
    parts = [f"{counted(facts['stored'], 'value')} cached, {decimal(facts['bytes_cached'])}"]
    if facts["stale"]:
        parts.append(f"{len(facts['stale'])} changed in place since ({facts['stale'].brief(SHOWN)})")
    return ", ".join(parts) + _left_out(facts)


def _run_finished(entry: Entry) -> str:
    facts = entry.facts
    parts = [f"{counted(facts['fired'], 'point')} fired"]
    if facts["never_fired"]:
        parts.append(f"{len(facts['never_fired'])} never ({facts['never_fired'].brief(SHOWN)})")
    if facts["bytes_cached"]:
        parts.append(f"{decimal(facts['bytes_cached'])} cached")
    return ", ".join(parts) + _ended(facts)


def _hook_failed(entry: Entry) -> str:
    facts = entry.facts
    return f"{facts['direction']} hook {facts['function']} at {entry.points.brief(SHOWN)} raised {facts['error']}"


def _left_out(facts: Mapping[str, Any]) -> str:
    left_out: Many = facts["left_out"]
    return f", {len(left_out)} left out ({left_out.brief(SHOWN)})" if left_out else ""


def _ended(facts: Mapping[str, Any]) -> str:
    return f", ended by {facts['error']}" if facts["error"] else ""


_PHRASES: Mapping[str, Callable[[Entry], str]] = {
    "decision_made": _decision_made,
    "hooks_added": _hooks_added,
    "hooks_removed": _hooks_removed,
    "hooks_reset": _hooks_reset,
    "context_entered": _context_entered,
    "context_exited": _context_exited,
    "cache_started": _cache_started,
    "cache_finished": _cache_finished,
    "run_finished": _run_finished,
    "hook_failed": _hook_failed,
}
