"""A journal in other formats: CSV for a spreadsheet, JSON for programs, SARIF for tools that show findings."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from hookframe import Action, Objection
from hookframe.audit import SUFFIX, DecisionEntry, Entry, plain_of, points_of, route_of, time_of

__all__ = ["COLUMNS", "write_csv", "write_json", "write_sarif"]

COLUMNS = (
    "time",
    "segment",
    "n",
    "kind",
    "id",
    "allowed",
    "route",
    "model",
    "points",
    "source",
    "rule",
    "action",
    "message",
    "remedy",
    "exception",
)
"""The columns of :func:`write_csv`."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LEVELS = {Action.DENY: "error", Action.SKIP: "warning", Action.WARN: "warning", Action.AUDIT: "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def write_csv(entries: Iterable[Entry], stream: TextIO) -> None:
    """One line for each event, and for each objection of a decision, or the decision if it has none.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        for row in _rows(entry):
            writer.writerow({key: _cell(value) for key, value in row.items()})


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _rows(entry: Entry) -> Iterator[dict[str, Any]]:
    head = {"time": time_of(entry.time), "segment": entry.segment, "n": entry.number}
    if not isinstance(entry, DecisionEntry):
        facts = {key: entry.facts[key] for key in ("route", "model") if key in entry.facts}
        points = entry.facts.get("points", [entry.facts.get("point", "")])
        yield {**head, "kind": entry.kind, **facts, "points": " ".join(map(str, points))}
        return
    head |= {"kind": "decision", "id": entry.id, "allowed": entry.decision.allowed, "route": route_of(entry)}
    if not entry.objections:
        yield {**head, "points": " ".join(points_of(entry.requests))}
    for objection in entry.objections:
        yield {**head, "points": " ".join(points_of([objection.request])), **_reason(objection)}


def _reason(objection: Objection) -> dict[str, str | None]:
    return {
        "source": objection.source,
        "rule": objection.rule,
        "action": str(objection.action),
        "message": objection.message,
        "remedy": objection.remedy,
        "exception": objection.exception,
    }


def write_json(entries: Iterable[Entry], stream: TextIO) -> None:
    """A list of objects, each with all that one entry says; one entry a line."""
    separator = "[\n"
    for entry in entries:
        stream.write(separator + json.dumps(plain_of(entry)))
        separator = ",\n"
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


def write_sarif(entries: Iterable[Entry], stream: TextIO) -> None:
    """SARIF 2.1.0: one result for each objection, at the line of the journal that has the decision."""
    rules: dict[str, dict[str, Any]] = {}
    results = [
        _result(entry, objection, rules)
        for entry in entries
        if isinstance(entry, DecisionEntry)
        for objection in entry.objections
    ]
    driver = {"name": "hookframe", "rules": list(rules.values())}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    json.dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, stream, indent=1)
    stream.write("\n")


def _result(entry: DecisionEntry, objection: Objection, rules: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rule = f"{objection.source or 'unknown'}/{objection.rule}"
    rules.setdefault(rule, {"id": rule, "help": {"text": objection.remedy}})
    file = {"uri": entry.segment + SUFFIX}
    points = [{"fullyQualifiedName": point, "kind": "module"} for point in points_of([objection.request])]
    return {
        "ruleId": rule,
        "ruleIndex": list(rules).index(rule),
        "level": _LEVELS[objection.action],
        "message": {"text": f"{objection.request.subject}: {objection.message}; {objection.remedy}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": file, "region": {"startLine": entry.place}},
                "logicalLocations": points,
            }
        ],
        "partialFingerprints": {"decision/v1": f"{entry.id}/{objection.request.index}/{rule}"},
        "properties": {
            "allowed": entry.decision.allowed,
            "time": time_of(entry.time),
            "exception": objection.exception,
        },
    }
