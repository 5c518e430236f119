"""No file can do harm to the reader: a clear problem or an entry, never anything else."""

from __future__ import annotations

import json
from hashlib import sha256

import click
import pytest
from hookframe_journal.chain import Chain
from hookframe_journal.command.rendering import detail, one_line
from hookframe_journal.facts import keep as keep_facts
from hookframe_journal.follow import JournalFollower
from hookframe_journal.keys import KeySequence
from hookframe_journal.values import body_of
from hookframe_journal.verify import verify_segment
from hypothesis import given, settings
from hypothesis import strategies as st

from hookframe import Action, Objection
from hookframe.admission.request import FunctionInfo, HookRequest
from hookframe.audit import DecisionEntry, lines_of, plain_of, read_journal
from hookframe.errors import InvalidJournal

from .conftest import allowed, denied


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

    from hookframe_journal.plugin import JournalPlugin

    from hookframe import Decision

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


@pytest.mark.parametrize("text", [b"[1]\n", b'{"n":0}\n', b"\xff\n"])
def test_a_line_that_cannot_be_used_is_not_as_it_was_written(text, tmp_path):
    (tmp_path / "s.jsonl").write_bytes(text)
    assert not verify_segment(tmp_path / "s.jsonl").intact


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    from hookframe_journal.plugin import JournalPlugin

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


@given(st.dictionaries(st.text(max_size=4), plain | st.tuples(st.text(max_size=3)), max_size=5))
def test_kept_facts_are_plain_json_and_nothing_is_forgotten(facts):
    kept = keep_facts(facts, ("*",))
    json.dumps(dict(kept.values), allow_nan=False)
    assert set(kept.values) | set(kept.left_out) == set(facts)
    assert keep_facts(facts, ()).values == {}


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
    monkeypatch.setattr("hookframe_journal.follow._MOST", 3000)
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
    from hookframe_journal.heading import _version

    assert _version("no-such-distribution-anywhere") is None
