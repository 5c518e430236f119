"""No file can do harm to the reader: a clear problem or an entry, never anything else."""

from __future__ import annotations

import json
from hashlib import sha256

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookframe.admission.objection import Action, Objection
from hookframe.admission.request import FunctionInfo, HookRequest
from hookframe.audit.chain import Chain
from hookframe.audit.entries import DecisionEntry, EventEntry
from hookframe.audit.facts import keep as keep_facts
from hookframe.audit.follow import JournalFollower
from hookframe.audit.keys import KeySequence
from hookframe.audit.lines import line_of, lines_of
from hookframe.audit.plain import plain_of, printable
from hookframe.audit.reading import read_journal
from hookframe.audit.record import batch_value
from hookframe.audit.tables import rows_of, table_of
from hookframe.audit.values import body_of
from hookframe.audit.verify import verify_segment
from hookframe.cli.audit.rendering import detail, one_line
from hookframe.errors import InvalidJournal, InvalidWireData

from .conftest import allowed, batch, denied


def segment(path, *records):
    chain = Chain()
    file = path / "s.jsonl"
    file.write_bytes(b"".join(chain.line(body_of(record)) for record in records))
    return file


def read(file):
    problems = []
    entries = list(read_journal(file, problems))
    for entry in entries:  # whatever was read can be shown and exported
        json.dumps(plain_of(entry))
        assert click.unstyle(one_line(entry)).isprintable()
        if isinstance(entry, DecisionEntry):
            assert all(line.isprintable() for line in detail(entry))
    return entries, [problem.message for problem in problems]


names = st.text(max_size=20)
functions = st.builds(FunctionInfo, module=names, qualname=names, digest=st.none() | names)
requests = st.builds(
    HookRequest,
    index=st.just(0),
    point=st.none() | names,
    function=functions,
    direction=st.sampled_from(["fwd", "bwd"]),
    route=st.sampled_from(["hooks", "torch", "copy"]),
    effect=st.sampled_from(["read", "edit"]),
    exact=st.booleans(),
    permanent=st.booleans(),
    level=st.none() | st.integers(-5, 10**30),
    aliases=st.lists(names, max_size=3).map(tuple),
    caches=st.booleans(),
)


@given(st.lists(requests, min_size=1, max_size=8), st.data())
@settings(deadline=None)
def test_every_batch_and_every_objection_come_back(tmp_path_factory, given_, data):
    from dataclasses import replace

    from hookframe.admission.decision import Decision
    from hookframe.audit.plugin import JournalPlugin

    batch = [replace(request, index=index) for index, request in enumerate(given_)]
    text = st.text(min_size=1, max_size=30).filter(str.strip)
    objections = data.draw(
        st.lists(
            st.builds(
                Objection, request=st.sampled_from(batch), rule=text, message=text, remedy=text,
                action=st.sampled_from(Action), source=names, device=st.none() | names, origin=st.none() | names,
                exception=st.none() | names,
            ),
            max_size=5,
        )
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("journal")
    plugin = JournalPlugin(directory)
    plugin.hookframe_decision_made(Decision(batch, tuple(objections)))
    plugin.close()
    entries, problems = read(directory)
    assert problems == []
    (entry,) = [entry for entry in entries if isinstance(entry, DecisionEntry)]
    for was, now in zip(batch, entry.requests, strict=True):
        assert replace(was, function=now.function) == now
        assert (was.function.module, was.function.qualname, was.function.digest, was.function.distribution) == (
            now.function.module, now.function.qualname, now.function.digest, now.function.distribution,
        )  # fmt: skip
    assert [replace(o, request=batch[o.request.index]) for o in entry.objections] == objections
    assert verify_segment(next(directory.glob("*.jsonl"))).findings == ()


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_bytes_of_any_kind_are_read_and_verified_without_a_traceback(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("any") / "s.jsonl"
    file.write_bytes(data)
    read(file)
    verify_segment(file)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    from hookframe.audit.plugin import JournalPlugin

    directory = tmp_path_factory.mktemp("sound")
    plugin = JournalPlugin(directory)
    plugin.hookframe_decision_made(allowed("a", "b", facts={"family": ("gpt2",)}))
    plugin.hookframe_decision_made(denied(*map(str, range(9))))
    plugin.close()
    return next(directory.glob("*.jsonl"))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths_in(data, path=()):
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths_in(value, (*path, key))


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_a_record_with_any_field_replaced_is_a_problem_or_an_entry(sound, tmp_path_factory, data):
    records = []
    for line in lines_of(sound):
        record = dict(line.data)
        for key in ("n", "chain"):
            record.pop(key)
        records.append(record)
    record = data.draw(st.sampled_from(records))
    path = data.draw(st.sampled_from(list(paths_in(record))))
    place = record
    for key in path[:-1]:
        place = place[key]
    if data.draw(st.booleans()) and isinstance(place, dict):
        del place[path[-1]]
    else:
        place[path[-1]] = data.draw(plain)
    try:
        file = segment(tmp_path_factory.mktemp("odd"), *records)
    except ValueError:
        return  # a number that JSON does not have
    read(file)


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
    assert not verify_segment(tmp_path / "s.jsonl").intact


def test_a_line_that_is_too_long_is_passed_over(sound, tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.audit.lines.LONGEST_LINE", 5000)
    file = tmp_path / "s.jsonl"
    lines = sound.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], b"x" * 2_500_000 + b"\n", *lines[1:]]))
    entries, problems = read(file)
    assert problems == ["it is too long"]
    assert len([entry for entry in entries if isinstance(entry, DecisionEntry)]) == 2


def test_what_a_segment_asks_to_remember_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.audit.reading._MOST", 10_000)
    value = {"request": "device", "functions": [], "table": {"count": 1000, "each": {},
             "same": {"device": "cpu", "purpose": "cache", "route": "to"}}}  # fmt: skip
    file = segment(tmp_path, *({"kind": "batch", "digest": str(n), "value": value} for n in range(3)))
    assert read(file)[1] == ["the segment asks to remember too much"] * 2


BATCH = {"kind": "batch", "digest": "b", "value": {"request": "device", "functions": [], "table": {
    "count": 1, "same": {"device": "cpu", "purpose": "cache", "route": "to"}, "each": {}}}}  # fmt: skip
FUNCTION = {"module": "m", "qualname": "q", "distribution": None, "digest": None}
HOOKS = {"request": "hook", "table": {"count": 1, "same": {"function": 0, "point": "a", "route": "hooks"}, "each": {}}}
DECISION = {"kind": "decision", "time": 1, "clock": 1, "number": 1, "batch": "b"}


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


def test_a_journal_of_an_older_version_is_read_with_defaults(tmp_path):
    value = json.loads(b"{" + batch_value(batch("a"), None).body + b"}")
    del value["value"]["table"]["same"]["caches"]
    decision = DECISION | {"batch": value["digest"], "number": 7}
    entries, problems = read(segment(tmp_path, value, decision))
    assert problems == []
    assert entries[0].requests[0].caches is False


def test_a_decision_in_a_journal_has_its_function_with_a_distribution(tmp_path):
    value = json.loads(b"{" + batch_value(batch("a"), None).body + b"}")
    value["value"]["functions"][0]["distribution"] = "acme-hooks"
    (entry,), _ = read(segment(tmp_path, value, DECISION | {"batch": value["digest"]}))
    assert entry.requests[0].function.distribution == "acme-hooks"
    assert str(entry.requests[0].function) == "acme.hooks.Probe.look"


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


@given(st.dictionaries(st.text(max_size=4), plain | st.tuples(st.text(max_size=3)), max_size=5))
def test_kept_facts_are_plain_json_and_nothing_is_forgotten(facts):
    kept = keep_facts(facts, ("*",))
    json.dumps(dict(kept.values), allow_nan=False)
    assert set(kept.values) | set(kept.left_out) == set(facts)
    assert keep_facts(facts, ()).values == {}


@given(st.text())
def test_printable_text_is_printable(text):
    assert printable(text).isprintable()


def test_a_follower_gives_what_is_new_and_only_whole_lines(sound, tmp_path):
    file = tmp_path / "s.jsonl"
    whole = sound.read_bytes()
    first = whole.index(b"\n") + 1
    file.write_bytes(whole[: first + 10])
    follower = JournalFollower(tmp_path)
    assert [entry.kind for entry in follower.new_entries()] == ["header"]
    assert list(follower.new_entries()) == []
    file.write_bytes(whole)
    assert len(list(follower.new_entries())) == 3
    assert follower.problems == []
    with pytest.raises(InvalidJournal, match="has no segments"):
        file.unlink()
        list(follower.new_entries())
    with pytest.raises(InvalidJournal, match="cannot be read"):
        list(JournalFollower(tmp_path / "gone").new_entries())


def test_a_follower_passes_over_a_line_without_an_end(sound, tmp_path, monkeypatch):
    monkeypatch.setattr("hookframe.audit.follow._MOST", 3000)
    (tmp_path / "s.jsonl").write_bytes(b"x" * 6000 + b"\n" + sound.read_bytes())
    follower = JournalFollower(tmp_path)
    found = [entry for _ in range(6) for entry in follower.new_entries()]
    assert len(found) == 4
    assert 0 < len(follower.problems) <= 3


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=6))
@settings(max_examples=25)
def test_keys_are_found_in_any_order(numbers):
    keys = KeySequence(b"k" * 32)
    expected = {}
    key = b"k" * 32
    for number in range(5001):
        expected[number] = key
        key = sha256(key).digest()
    assert [keys.at(number) for number in numbers] == [expected[number] for number in numbers]
    assert keys.at(2**62) is None


def test_a_version_that_is_not_installed_is_none():
    from hookframe.audit.heading import _version

    assert _version("no-such-distribution-anywhere") is None


def test_problems_need_not_be_asked_for(tmp_path):
    (tmp_path / "s.jsonl").write_text("nothing\n")
    assert list(read_journal(tmp_path)) == []
