"""Entries as plain data, for programs; and texts that a terminal may be shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from hookframe.admission.request import HookRequest, Request
from hookframe.admission.wire import KINDS, objection_to_json, request_to_json
from hookframe.audit.entries import DecisionEntry, Entry

__all__ = ["plain_of", "points_of", "printable", "route_of", "time_of"]

_KINDS = {kind: name for name, kind in KINDS.items()}


def time_of(seconds: float) -> str:
    """A time as people and programs read it: ``2026-01-31T23:59:59.123456Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def printable(text: str) -> str:
    """``text`` with everything escaped that would move a terminal's cursor, colour it, or cannot be printed."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def route_of(entry: DecisionEntry) -> str:
    """The public way by which the requests came."""
    return next((str(request.route) for request in entry.requests), "?")


def points_of(requests: Iterable[Request]) -> tuple[str, ...]:
    """The names of the hook points that requests speak of, each once."""
    found: list[str] = []
    for request in requests:
        found += [request.point or "?"] if isinstance(request, HookRequest) else getattr(request, "points", ())
    return tuple(dict.fromkeys(found))


def plain_of(entry: Entry) -> dict[str, Any]:
    """All that an entry says, as plain data for JSON."""
    head = {"segment": entry.segment, "n": entry.number, "time": time_of(entry.time)}
    if not isinstance(entry, DecisionEntry):
        return {**head, "kind": entry.kind, **{key: fact for key, fact in entry.facts.items() if key not in head}}
    return {
        **head,
        "kind": "decision",
        "id": entry.id,
        "clock": time_of(entry.clock),
        "allowed": entry.decision.allowed,
        "request": next((_KINDS[type(request)] for request in entry.requests), None),
        "requests": [_request(request) for request in entry.requests],
        "objections": [{**objection_to_json(o), "source": o.source} for o in entry.objections],
        "facts": None if entry.facts is None else dict(entry.facts),
        "left_out": list(entry.left_out),
        "errors": list(entry.errors),
    }


def _request(request: Request) -> dict[str, Any]:
    data = request_to_json(request)
    del data["kind"]
    if isinstance(request, HookRequest):
        function = request.function
        data["function"] = {
            "module": function.module,
            "qualname": function.qualname,
            "distribution": function.distribution,
            "digest": function.digest,
        }
    return data
