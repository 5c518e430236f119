"""What one record of a journal says: a fixed list of fields for each kind, and no tensor, no text of an exception."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, get_args

from hookframe import Decision, Objection
from hookframe.admission import events
from hookframe.admission.events import Event
from hookframe.admission.request import FunctionInfo, HookRequest, Request
from hookframe.audit import OBJECTION_FIELDS, table_of
from hookframe_journal.facts import KeptFacts
from hookframe_journal.values import Value, body_of

__all__ = ["batch_value", "decision_body", "event_body", "names_value"]

_OWN = {kind: tuple(field.name for field in fields(kind)) for kind in get_args(Request)}
_LOOK = {kind: attrgetter(*names) for kind, names in _OWN.items()}
_LONGEST = 2000
_FEW = 400  # bytes: a shorter list of objections is not worth a record of its own

NamesValue = Callable[[tuple[str, ...]], Value]


def batch_value(requests: Sequence[Request], facts: KeptFacts | None) -> Value:
    """All fields of these requests, and the facts that decisions about them look at.

    Functions are named by module, qualified name, distribution and digest of their code, not by file.
    """
    kind = type(requests[0])
    names, rows = _OWN[kind], [*map(_LOOK[kind], requests)]
    described: dict[int, int] = {}
    functions: list[dict[str, str | None]] = []
    if kind is HookRequest:
        place = names.index("function")
        for row in rows:
            if id(row[place]) not in described:
                described[id(row[place])] = len(functions)
                functions.append(_function(row[place]))
        rows = [(*row[:place], described[id(row[place])], *row[place + 1 :]) for row in rows]
    content: dict[str, Any] = {"request": kind.kind, "functions": functions, "table": table_of(names, rows)}
    if facts is not None:
        content |= {"facts": dict(facts.values), "left_out": facts.left_out}
    return Value.of("batch", content)


def _function(info: FunctionInfo) -> dict[str, str | None]:
    return {
        "module": info.module,
        "qualname": info.qualname,
        "distribution": info.distribution,
        "digest": info.digest,
    }


def names_value(names: tuple[str, ...]) -> Value:
    """Names of hook points, in order."""
    return Value.of("names", names)


def decision_body(decision: Decision, batch: Value, clock: float, now: float) -> tuple[bytes, tuple[Value, ...]]:
    """The record of a decision, and the values that it refers to."""
    values: tuple[Value, ...] = (batch,)
    facts: dict[str, Any] = {
        "kind": "decision",
        "time": now,
        "clock": clock,
        "number": decision.number,
        "allowed": decision.allowed,
        "batch": batch.digest,
    }
    if decision.objections:
        table = table_of(OBJECTION_FIELDS, [_objection(o, decision.requests) for o in decision.objections])
        value = Value.of("objections", table)
        if len(value.body) > _FEW:
            facts["objections"], values = value.digest, (batch, value)
        else:
            facts["objections"] = table
    if decision.errors:
        facts["errors"] = [type(error).__name__ for error in decision.errors]
    return body_of(facts), values


def _objection(objection: Objection, requests: Sequence[Request]) -> tuple[Any, ...]:
    return (
        _place(objection.request.index, requests),
        objection.source,
        objection.rule,
        str(objection.action),
        _cut(objection.message),
        _cut(objection.remedy),
        objection.device,
        objection.origin,
        objection.exception,
    )


def _place(index: int, requests: Sequence[Request]) -> int:
    """Where the request with this index is; a decision may be about one request out of a batch."""
    if index < len(requests) and requests[index].index == index:
        return index
    return next(place for place, request in enumerate(requests) if request.index == index)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def event_body(event: Event, now: float, named: NamesValue) -> tuple[bytes, tuple[Value, ...]]:
    """The record of an event, and the values that it refers to."""
    kind, describe = _EVENTS[type(event)]
    values: list[Value] = []

    def names(given: Sequence[str]) -> Any:
        if len(given) <= 4:
            return list(given)
        value = named(tuple(given))
        values.append(value)
        return value.digest

    facts = {"kind": kind, "time": now, "model": event.model, **describe(event, names)}
    return body_of(facts), tuple(values)


_Names = Callable[[Sequence[str]], Any]


def _hooks_added(event: events.HooksAdded, names: _Names) -> Mapping[str, Any]:
    return {
        "operation": event.operation,
        "route": event.route,
        "hooks": len(event.requests),
        "skipped": names(event.skipped),
    }


def _hooks_removed(event: events.HooksRemoved, names: _Names) -> Mapping[str, Any]:
    return {"route": event.route, "points": names(event.points)}


def _hooks_reset(event: events.HooksReset, names: _Names) -> Mapping[str, Any]:
    return {
        "route": event.route,
        "removed": event.removed,
        "including_permanent": event.including_permanent,
        "direction": event.direction,
    }


def _context_entered(event: events.ContextEntered, names: _Names) -> Mapping[str, Any]:
    return {"operation": event.operation, "route": event.route, "level": event.level, "hooks": event.hooks}


def _context_exited(event: events.ContextExited, names: _Names) -> Mapping[str, Any]:
    return {
        "operation": event.operation,
        "route": event.route,
        "level": event.level,
        "removed": event.removed,
        "error": event.error,
    }


def _cache_started(event: events.CacheStarted, names: _Names) -> Mapping[str, Any]:
    return {
        "operation": event.operation,
        "route": event.route,
        "points": names(event.points),
        "gradients": event.gradients,
        "device": event.device,
    }


def _cache_finished(event: events.CacheFinished, names: _Names) -> Mapping[str, Any]:
    return {
        "operation": event.operation,
        "stored": len(event.stored),
        "skipped": names(tuple(event.skipped)),
        "bytes_cached": event.bytes_cached,
        "stale": names(event.stale),
    }


def _run_finished(event: events.RunFinished, names: _Names) -> Mapping[str, Any]:
    return {
        "operation": event.operation,
        "route": event.route,
        "hooks": len(event.counts),
        "fired": sum(event.counts.values()),
        "never_fired": names(event.never_fired),
        "bytes_cached": event.bytes_cached,
        "error": event.error,
    }


def _hook_failed(event: events.HookFailed, names: _Names) -> Mapping[str, Any]:
    return {
        "point": event.point,
        "direction": event.direction,
        "function": _function(event.function),
        "error": event.error,
    }


_EVENTS: Mapping[type[Event], tuple[str, Callable[[Any, _Names], Mapping[str, Any]]]] = {
    events.HooksAdded: ("hooks_added", _hooks_added),
    events.HooksRemoved: ("hooks_removed", _hooks_removed),
    events.HooksReset: ("hooks_reset", _hooks_reset),
    events.ContextEntered: ("context_entered", _context_entered),
    events.ContextExited: ("context_exited", _context_exited),
    events.CacheStarted: ("cache_started", _cache_started),
    events.CacheFinished: ("cache_finished", _cache_finished),
    events.RunFinished: ("run_finished", _run_finished),
    events.HookFailed: ("hook_failed", _hook_failed),
}
