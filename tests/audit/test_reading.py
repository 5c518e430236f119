"""No file can do harm to the reader: a clear problem or an entry, never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookframe.audit.entries import EventEntry
from hookframe.audit.lines import line_of
from hookframe.audit.plain import plain_of, points_of, printable, route_of
from hookframe.audit.reading import read_journal
from hookframe.audit.tables import rows_of, table_of
from hookframe.errors import InvalidJournal, InvalidWireData


def segment(path, *records):
    """A segment whose links are of the right form: the reader looks at them no closer."""
    lines = [json.dumps({"n": number, **record, "chain": "0" * 64}) for number, record in enumerate(records)]
    file = path / "s.jsonl"
    file.write_text("".join(line + "\n" for line in lines).replace(', "chain": ', ',"chain":'))
    return file


def read(file):
    problems = []
    entries = list(read_journal(file, problems))
    for entry in entries:  # whatever was read is plain data
        json.dumps(plain_of(entry))
    return entries, [problem.message for problem in problems]


BATCH = {"kind": "batch", "digest": "b", "value": {"request": "device", "functions": [], "table": {
    "count": 1, "same": {"device": "cpu", "purpose": "cache", "route": "to"}, "each": {}}}}  # fmt: skip
FUNCTION = {"module": "m", "qualname": "q", "distribution": None, "digest": None}
HOOKS = {"request": "hook", "table": {"count": 1, "same": {"function": 0, "point": "a", "route": "hooks"}, "each": {}}}
DECISION = {"kind": "decision", "time": 1, "clock": 1, "number": 1, "batch": "b"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[" * 100_000 + b"\n", "it is no JSON"),
        (b'{"a":' * 20 + b"1" + b"}" * 20 + b"\n", "nested deeper"),
        (b"9" * 10_000 + b"\n", "it is no JSON"),
        (b'{"n":NaN}\n', "NaN is no JSON"),
        (b'{"n":0,"n":1}\n', "a key stands twice"),
        (b"[1]\n", "no JSON object"),
        (b'{"n":0}\n', "does not end in its link"),
        (b"\xff\n", "it is no JSON"),
    ],
    ids=["deep", "nested", "number", "nan", "twins", "list", "unlinked", "bytes"],
)
def test_a_line_that_cannot_be_used_says_why(text, problem, tmp_path):
    assert problem in line_of(1, text).problem
    (tmp_path / "s.jsonl").write_bytes(text)
    assert read(tmp_path / "s.jsonl")[0] == []


def test_a_line_that_is_too_long_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.audit.lines.LONGEST_LINE", 5000)
    file = segment(tmp_path, BATCH, DECISION)
    batch, decision = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([batch, b"x" * 2_500_000 + b"\n", decision]))
    entries, problems = read(file)
    assert problems == ["it is too long"]
    assert [(entry.place, entry.requests[0].device) for entry in entries] == [(3, "cpu")]


def test_what_a_segment_asks_to_remember_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.audit.reading._MOST", 10_000)
    value = {"request": "device", "functions": [], "table": {"count": 1000, "each": {},
             "same": {"device": "cpu", "purpose": "cache", "route": "to"}}}  # fmt: skip
    file = segment(tmp_path, *({"kind": "batch", "digest": str(n), "value": value} for n in range(3)))
    assert read(file)[1] == ["the segment asks to remember too much"] * 2


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (DECISION | {"batch": "c"}, "a batch that the segment does not have"),
        (DECISION | {"objections": "c"}, "objections that the segment does not have"),
        (DECISION | {"number": True}, "number is True"),
        (DECISION | {"time": 1e300}, "is no time"),
        (DECISION | {"clock": None}, "None is no time"),
        (DECISION | {"errors": [1]}, "errors is no list of strings"),
        (DECISION | {"objections": {"count": 1, "same": {"index": 0}, "each": {}}}, "an objection has"),
        ({"time": 1}, "what kind of record"),
        ({"kind": "hooks_removed", "time": 1, "points": "d"}, "names that the segment does not have"),
        ({"kind": "hooks_removed", "time": 1, "points": 3}, "points is no list of strings"),
        ({"kind": "batch", "digest": "c", "value": {"request": "other"}}, "its kind of request is none of"),
        ({"kind": "batch", "digest": "c", "value": {"request": "hook", "functions": 1}}, "functions is no list"),
        (
            {"kind": "batch", "digest": "c", "value": {"request": "hook", "functions": [1]}},
            "a function is not described",
        ),
        (
            {"kind": "batch", "digest": "c", "value": {"request": "hook", "functions": [], "facts": 1}},
            "facts is no object",
        ),
    ],
)
def test_a_record_that_makes_no_sense_says_why(record, problem, tmp_path):
    entries, problems = read(segment(tmp_path, BATCH, DECISION, record))
    assert len(entries) == 1
    assert len(problems) == 1
    assert problem in problems[0]


def hooks(**fields):
    """A batch of one hook by :data:`FUNCTION`, with these fields changed, as a record."""
    return {"kind": "batch", "digest": "b", "value": HOOKS | {"functions": [FUNCTION | fields]}}


def test_a_journal_of_an_older_version_is_read_with_defaults(tmp_path):
    entries, problems = read(segment(tmp_path, hooks(), DECISION))
    assert problems == []
    assert entries[0].requests[0].caches is False
    assert (entries[0].id, points_of(entries[0].requests), route_of(entries[0])) == ("s:1", ("a",), "hooks")


def test_a_decision_in_a_journal_has_its_function_with_a_distribution(tmp_path):
    (entry,), _ = read(segment(tmp_path, hooks(distribution="acme-hooks"), DECISION))
    assert entry.requests[0].function.distribution == "acme-hooks"
    assert str(entry.requests[0].function) == "m.q"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [({"module": 1}, "no module or no name"), ({"digest": 1}, "digest is no string")],
)
def test_a_function_that_makes_no_sense_says_why(fields, problem, tmp_path):
    _, (first, _) = read(segment(tmp_path, hooks(**fields), DECISION))
    assert problem in first


OBJECTION = {
    "source": "policy", "rule": "r", "action": "deny", "message": "m", "remedy": "x", "device": None,
    "origin": "p.toml:3", "exception": None,
}  # fmt: skip


def test_objections_are_read_from_their_record(tmp_path):
    table = {"count": 1, "same": OBJECTION, "each": {}}
    value = {"kind": "objections", "digest": "o", "value": table}
    (first, second), problems = read(
        segment(tmp_path, hooks(), value, DECISION | {"objections": "o"}, DECISION | {"objections": table})
    )
    assert problems == []
    assert first.objections == second.objections
    (objection,) = first.objections
    assert (objection.source, objection.rule, objection.origin) == ("policy", "r", "p.toml:3")
    assert not first.decision.allowed
    bad = DECISION | {"objections": {"count": 1, "same": OBJECTION | {"source": 1}, "each": {}}}
    assert read(segment(tmp_path, hooks(), bad))[1] == ["the objection's source is no string"]


def test_facts_are_read_with_what_was_left_out(tmp_path):
    value = BATCH["value"] | {"facts": {"family": ["gpt2"], "model.size": 3}, "left_out": ["model.secret"]}
    (entry,), _ = read(segment(tmp_path, BATCH | {"value": value}, DECISION))
    assert (entry.facts, entry.left_out) == ({"family": ("gpt2",), "model.size": 3}, ("model.secret",))
    odd = BATCH["value"] | {"facts": {"a": {}}}
    assert read(segment(tmp_path, BATCH | {"value": odd}))[1] == ["a fact is an object"]


@pytest.mark.parametrize("function", [None, True, 1])
def test_a_request_refers_to_a_function_that_is_there(function, tmp_path):
    table = {"count": 1, "same": {"function": function, "point": "a", "route": "hooks"}, "each": {}}
    value = {"request": "hook", "functions": [FUNCTION], "table": table}
    assert "refers to function" in read(segment(tmp_path, {"kind": "batch", "digest": "b", "value": value}))[1][0]


def test_a_journal_that_is_not_there_says_so(tmp_path):
    with pytest.raises(InvalidJournal, match="has no segments"):
        list(read_journal(tmp_path))
    with pytest.raises(InvalidJournal, match="cannot be read"):
        list(read_journal(tmp_path / "gone"))


def test_events_are_read_with_their_names(tmp_path):
    names = {"kind": "names", "digest": "d", "value": ["a", "b"]}
    event = {"kind": "hooks_removed", "time": 1, "model": "M", "route": "handle", "points": "d"}
    (entry,), problems = read(segment(tmp_path, names, event))
    assert isinstance(entry, EventEntry)
    assert (entry.kind, entry.facts["points"], problems) == ("hooks_removed", ["a", "b"], [])


@given(st.lists(st.tuples(st.integers(), st.text(max_size=2), st.booleans()), max_size=6))
def test_tables_come_back_as_they_were(rows):
    table = json.loads(json.dumps(table_of(("number", "text", "truth"), rows)))
    back = [(row["number"], row["text"], row["truth"]) for row in rows_of(table)]
    assert back == rows
    assert [row["index"] for row in rows_of(table)] == list(range(len(rows)))


def test_an_index_that_does_not_count_from_0_is_kept():
    assert [row["index"] for row in rows_of(table_of(("index", "a"), [(3, 1), (4, 1)]))] == [3, 4]


@pytest.mark.parametrize(
    "table",
    [
        None,
        {"count": 1, "same": {}},
        {"count": 1, "same": [], "each": {}},
        {"count": -1, "same": {}, "each": {}},
        {"count": True, "same": {}, "each": {}},
        {"count": 10**9, "same": {"a": 1}, "each": {}},
        {"count": 2, "same": {}, "each": {"a": [1]}},
    ],
)
def test_what_is_no_table_is_refused(table):
    with pytest.raises(InvalidWireData, match="no table"):
        list(rows_of(table))


@given(st.text())
def test_printable_text_is_printable(text):
    assert printable(text).isprintable()


def test_problems_need_not_be_asked_for(tmp_path):
    (tmp_path / "s.jsonl").write_text("nothing\n")
    assert list(read_journal(tmp_path)) == []
