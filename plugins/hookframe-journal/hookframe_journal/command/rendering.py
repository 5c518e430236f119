"""Entries for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from hookframe import Objection
from hookframe.audit import DecisionEntry, Entry, EventEntry, points_of, printable, route_of, time_of

__all__ = ["COLOURS", "brief", "detail", "one_line", "reasons", "verdict"]

COLOURS = {"denied": "red", "warned": "yellow", "recorded": "bright_black", "allowed": "green"}
"""The colour of each verdict."""


def verdict(entry: DecisionEntry) -> str:
    """What a decision came to, in a word: denied, warned, recorded (objections without a word to the user) or allowed."""
    if not entry.decision.allowed:
        return "denied"
    if entry.decision.warnings:
        return "warned"
    return "recorded" if entry.objections else "allowed"


def brief(names: tuple[str, ...] | list[Any], limit: int = 3) -> str:
    """The first few names, and how many there are besides."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return printable(", ".join(map(str, names[:limit])) + more)


def reasons(entry: DecisionEntry) -> str:
    """Who objected by which rules."""
    return brief(tuple(dict.fromkeys(f"{o.source or 'unknown'}: {o.rule}" for o in entry.objections)))


def one_line(entry: Entry) -> str:
    """An entry on one line."""
    time = time_of(entry.time)
    if isinstance(entry, EventEntry):
        facts = " ".join(f"{key}={_fact(value)}" for key, value in entry.facts.items() if value not in (None, []))
        return f"{time}  {printable(entry.kind)}  {facts}".rstrip()
    word = verdict(entry)
    said = reasons(entry)
    what = f"{route_of(entry)}, {len(entry.requests)} x {brief(points_of(entry.requests))}"
    coloured = click.style(word, fg=COLOURS[word])
    return f"{time}  {coloured}  #{entry.decision.number}  {what}" + (f"  {said}" if said else "")


def _fact(value: Any) -> str:
    if isinstance(value, list):
        return brief(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{printable(str(key))}: {printable(str(item))}" for key, item in value.items()) + "}"
    return printable(str(value))


def detail(entry: DecisionEntry) -> Iterator[str]:
    """All that is known of a decision, line by line."""
    return map(printable, _detail(entry))


def _detail(entry: DecisionEntry) -> Iterator[str]:
    yield f"{entry.id}: {verdict(entry)}"
    yield f"  time        {time_of(entry.time)}"
    if entry.clock != entry.time:
        yield f"  decided for {time_of(entry.clock)}"
    yield f"  route       {route_of(entry)}"
    yield f"  requests    {len(entry.requests)}: {brief(points_of(entry.requests), 6)}"
    functions = {str(f): f for request in entry.requests if (f := getattr(request, "function", None)) is not None}
    for function in functions.values():
        where = f" from {function.distribution}" if function.distribution else ""
        yield f"  function    {function}{where}, {function.digest or 'no digest'}"
    for name, value in sorted((entry.facts or {}).items()):
        yield f"  fact        {name} = {value!r}"
    if entry.left_out:
        yield f"  not kept    {brief(entry.left_out, 20)}"
    for error in entry.errors:
        yield f"  raised      {error}"
    for objection in entry.objections:
        yield from _objection(objection)


def _objection(objection: Objection) -> Iterator[str]:
    yield f"  {objection.action}: {objection.request.subject}: {objection.message}"
    yield f"    by {objection.by}"
    if objection.exception is not None:
        yield f"    let through by exception {objection.exception}"
    yield f"    remedy: {objection.remedy}"
