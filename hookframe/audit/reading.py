"""Reading a journal back. Nothing in a file can do harm: what cannot be used is reported, and the rest is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hookframe.admission.decision import Decision
from hookframe.admission.objection import Objection
from hookframe.admission.request import HookRequest, Request
from hookframe.admission.wire import KINDS, objection_from_json, request_from_json
from hookframe.audit.entries import DecisionEntry, Entry, EventEntry, Fact, Problem, RecordedFunction
from hookframe.audit.lines import Line, lines_of, segments_in
from hookframe.audit.tables import rows_of
from hookframe.errors import HookframeError, InvalidWireData

__all__ = ["OBJECTION_FIELDS", "SegmentReader", "read_journal", "read_segment"]

OBJECTION_FIELDS = ("index", "source", "rule", "action", "message", "remedy", "device", "origin", "exception")
"""What a record says of each objection."""
_ENVELOPE = ("n", "kind", "time", "chain", "mac")
_NAMED = ("points", "skipped", "never_fired", "stale")
_LATEST = 253_402_300_799.0  # the end of the year 9999
_MOST = 256 * 2**20  # bytes of values that one segment may ask to be remembered
_ROW = 256  # what a request takes at least, in bytes, however short its line is


def read_journal(path: Path, problems: list[Problem] | None = None) -> Iterator[Entry]:
    """The records of a journal: a directory with segments, or one of them.

    It does not look whether they are as they were written: :func:`~hookframe_journal.verify.verify_journal` does.

    :param problems: takes up each line that cannot be used; such lines are left out.
    :raises InvalidJournal: if there is no segment, or one cannot be read.
    """
    for file in segments_in(path):
        yield from read_segment(file, problems)


def read_segment(file: Path, problems: list[Problem] | None = None) -> Iterator[Entry]:
    """The records of one segment; see :func:`read_journal`."""
    reader = SegmentReader(file.stem)
    for line in lines_of(file):
        entry = reader.entry(line, problems)
        if entry is not None:
            yield entry


@dataclass(frozen=True, slots=True)
class _Batch:
    requests: tuple[Request, ...]
    facts: Mapping[str, Any] | None
    left_out: tuple[str, ...]


@dataclass(slots=True)
class SegmentReader:
    """Turns the lines of one segment into entries, and remembers the values that later ones refer to."""

    segment: str
    batches: dict[str, _Batch] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    objections: dict[str, Any] = field(default_factory=dict)
    size: int = 0

    def entry(self, line: Line, problems: list[Problem] | None = None) -> Entry | None:
        """The entry for one line; None for a value that others refer to, and for a line that cannot be used."""
        try:
            return self._entry(line)
        except (HookframeError, ValueError, TypeError, OverflowError) as error:
            if problems is not None:
                problems.append(Problem(segment=self.segment, place=line.place, message=str(error)))
            return None

    def _entry(self, line: Line) -> Entry | None:
        if line.problem is not None or line.links is None or line.number is None:
            raise InvalidWireData(line.problem or "it has no number")
        if line.kind in ("batch", "names", "objections"):
            self.size += len(line.links.text)
            if self.size > _MOST:
                raise InvalidWireData("the segment asks to remember too much")
            self._keep(line.kind, str(line.data.get("digest")), line.data.get("value"))
            return None
        time = _time(line.data.get("time"))
        if line.kind == "decision":
            return self._decision(line, line.number, time)
        if not line.kind:
            raise InvalidWireData("it does not say what kind of record it is")
        facts = {key: self._with_names(key, value) for key, value in line.data.items() if key not in _ENVELOPE}
        return EventEntry(
            segment=self.segment, number=line.number, place=line.place, kind=line.kind, time=time, facts=facts
        )

    def _keep(self, kind: str, digest: str, value: Any) -> None:
        if kind == "batch":
            batch = self.batches[digest] = _batch(value)
            self.size += _ROW * len(batch.requests)
        elif kind == "names":
            self.names[digest] = _strings(value, "the list of names")
        else:
            self.objections[digest] = value

    def _with_names(self, key: str, value: Any) -> Any:
        if key not in _NAMED:
            return value
        if not isinstance(value, str):
            return _strings(value, key)
        if value not in self.names:
            raise InvalidWireData(f"{key} refers to names that the segment does not have")
        return self.names[value]

    def _decision(self, line: Line, number: int, time: float) -> DecisionEntry:
        data = line.data
        batch = self.batches.get(str(data.get("batch")))
        if batch is None:
            raise InvalidWireData("the decision refers to a batch that the segment does not have")
        table = data.get("objections", [])
        if isinstance(table, str):
            if table not in self.objections:
                raise InvalidWireData("the decision refers to objections that the segment does not have")
            table = self.objections[table]
        objections = tuple(_objection(row, batch.requests) for row in rows_of(table)) if table else ()
        count = data.get("number")
        if type(count) is not int or count < 0:
            raise InvalidWireData(f"the decision's number is {count!r}")
        return DecisionEntry(
            segment=self.segment,
            number=number,
            place=line.place,
            time=time,
            clock=_time(data.get("clock")),
            decision=Decision(batch.requests, objections, number=count),
            facts=batch.facts,
            left_out=batch.left_out,
            errors=tuple(_strings(data.get("errors", []), "errors")),
        )


def _time(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= _LATEST:  # type: ignore[arg-type,operator]  # it is a number by then
        raise InvalidWireData(f"{value!r} is no time")
    return float(value)  # type: ignore[arg-type]  # as above


def _strings(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidWireData(f"{what} is no list of strings")
    return value


def _batch(value: object) -> _Batch:
    if not isinstance(value, Mapping) or value.get("request") not in KINDS:
        raise InvalidWireData(f"no batch: its kind of request is none of {sorted(KINDS)}")
    given = value.get("functions", [])
    if not isinstance(given, list):
        raise InvalidWireData("no batch: functions is no list")
    functions = [_function(each) for each in given]
    facts = value.get("facts")
    if facts is not None and not isinstance(facts, Mapping):
        raise InvalidWireData("no batch: facts is no object")
    return _Batch(
        requests=tuple(_request(value["request"], row, functions) for row in rows_of(value.get("table"))),
        facts=None if facts is None else {name: _fact(fact) for name, fact in facts.items()},
        left_out=tuple(_strings(value.get("left_out", []), "left_out")),
    )


def _fact(value: Any) -> Fact:
    if isinstance(value, list):
        return tuple(_strings(value, "a fact"))
    if isinstance(value, dict):
        raise InvalidWireData("a fact is an object")
    fact: Fact = value
    return fact


def _function(value: object) -> RecordedFunction:
    keys = ("module", "qualname", "distribution", "digest")
    if not isinstance(value, Mapping) or set(value) != set(keys):
        raise InvalidWireData(f"a function is not described by {keys}")
    module, qualname, distribution, digest = (value[key] for key in keys)
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise InvalidWireData("a function has no module or no name")
    if not isinstance(distribution, str | None) or not isinstance(digest, str | None):
        raise InvalidWireData("a function's distribution or digest is no string")
    return RecordedFunction(module=module, qualname=qualname, digest=digest, installed=distribution)


def _request(kind: str, row: dict[str, Any], functions: list[RecordedFunction]) -> Request:
    own = {f.name: f.default for f in fields(KINDS[kind]) if f.default is not MISSING}
    data = {**own, **row, "kind": kind}  # what an older version did not write has its default
    if kind != "hook":
        return request_from_json(data)
    index = data.get("function")
    if type(index) is not int or not 0 <= index < len(functions):
        raise InvalidWireData(f"a request refers to function {index!r} of {len(functions)}")
    function = functions[index]
    plain = {"module": function.module, "qualname": function.qualname, "digest": function.digest}
    request = request_from_json(data | {"function": {**plain, "file": None, "line": None}})
    return replace(request, function=function) if isinstance(request, HookRequest) else request


def _objection(row: dict[str, Any], requests: tuple[Request, ...]) -> Objection:
    if set(row) != set(OBJECTION_FIELDS):
        raise InvalidWireData(f"no objection: an objection has {OBJECTION_FIELDS}")
    source = row.pop("source")
    if not isinstance(source, str):
        raise InvalidWireData("the objection's source is no string")
    return replace(objection_from_json(row, requests), source=source)
