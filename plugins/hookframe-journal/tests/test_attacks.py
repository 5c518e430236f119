"""Attacks on a journal: found exactly where the stated strength says so."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from hookframe_journal.anchor import read_anchors
from hookframe_journal.chain import START, Chain
from hookframe_journal.plugin import JournalPlugin
from hookframe_journal.sealing import new_key_pair, open_sealed
from hookframe_journal.verify import verify_journal, verify_segment
from hypothesis import given, settings
from hypothesis import strategies as st

from hookframe.audit.lines import split_line
from hookframe.errors import InvalidJournal, JournalError

from .conftest import allowed, denied

RECORDS = 11  # the footer's number, after the header, a batch, and nine decisions
DENIAL = 6
PRIVATE, PUBLIC = new_key_pair()


def written(directory, *, sealed, anchor=None):
    plugin = JournalPlugin(directory, sealed_to=PUBLIC if sealed else None, anchor=anchor, flush_seconds=60)
    for number in range(9):
        plugin.hookframe_decision_made(denied("p") if number == 4 else allowed("p"))
    plugin.close()
    (file,) = directory.glob("*.jsonl")
    return file


@pytest.fixture(scope="module")
def chained(tmp_path_factory):
    return written(tmp_path_factory.mktemp("chained"), sealed=False)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    return written(tmp_path_factory.mktemp("sealed"), sealed=True)


def attacked(file, lines):
    """The segment as somebody left it, under its own name."""
    target = file.parent / "attacked"
    target.mkdir(exist_ok=True)
    copy = target / file.name
    copy.write_bytes(b"".join(lines))
    return copy


def lines_of(file):
    return file.read_bytes().splitlines(keepends=True)


def codes(verification):
    return {finding.code for finding in verification.findings if finding.grave}


def relinked(lines, start, *, keys=None):
    """The lines from ``start`` on with the chain computed anew, as everybody can who reads how; MACs need keys."""
    before = START if start == 0 else split_line(lines[start - 1].rstrip()).chain
    result = list(lines[:start])
    for place, line in enumerate(lines[start:], start):
        text = split_line(line.rstrip()).text if split_line(line.rstrip()) else line.rstrip()
        before = sha256(before + text).digest()
        mac = split_line(line.rstrip()).mac if split_line(line.rstrip()) else None
        if keys is not None and place in keys:
            from hashlib import blake2b

            mac = blake2b(before, key=keys[place], digest_size=32).digest()
        tail = b"" if mac is None else b',"mac":"%b"' % mac.hex().encode()
        result.append(b'%b,"chain":"%b"%b}\n' % (text, before.hex().encode(), tail))
    return result


def renumbered(lines, start):
    """The lines from ``start`` on with numbers that follow each other."""
    return [
        *lines[:start],
        *(line.replace(b'{"n":%d,' % json.loads(line)["n"], b'{"n":%d,' % place) for place, line in enumerate(lines[start:], start)),
    ]  # fmt: skip


def keys_from(file, first_known):
    """The keys that somebody has who was in the process from record ``first_known`` on."""
    header = json.loads(lines_of(file)[0])
    key = bytes(open_sealed(header["seal"]["sealed"], PRIVATE))
    keys = {}
    for number in range(RECORDS + 1):
        if number >= first_known:
            keys[number] = key
        key = sha256(key).digest()
    return keys


def test_what_nobody_touched_is_intact(chained, sealed):
    for file, key in ((chained, None), (sealed, None), (sealed, PRIVATE)):
        verification = verify_segment(file, private=key)
        assert (verification.findings, verification.records, verification.finished) == ((), RECORDS + 1, True)
        assert verification.checked == (key is not None)
        assert verification.head == json.loads(lines_of(file)[-1])["chain"]


@given(st.integers(0, RECORDS), st.data())
@settings(deadline=None, max_examples=60)
def test_an_edit_is_found_at_its_line(chained, place, data):
    lines = lines_of(chained)
    text = bytearray(lines[place])
    at = data.draw(st.integers(0, len(text) - 2))
    text[at] = data.draw(st.integers(32, 126).filter(lambda byte: byte != lines[place][at]))
    lines[place] = bytes(text)
    verification = verify_segment(attacked(chained, lines))
    places = {finding.place for finding in verification.findings if finding.grave}
    assert places & {place + 1, place + 2}, (
        verification.describe()
    )  # an edited link shows at the record after it as well
    assert min(filter(None, places)) == place + 1


@pytest.mark.found("a record whose number was changed was reported as a fault of the record after it")
@pytest.mark.parametrize("place", [0, 1, 5, RECORDS - 1])
@pytest.mark.parametrize("number", [0, 1, 2, 6, 7, RECORDS, 40])
def test_a_changed_number_is_found_at_its_line(chained, place, number):
    lines = lines_of(chained)
    lines[place] = lines[place].replace(b'{"n":%d,' % place, b'{"n":%d,' % number)
    verification = verify_segment(attacked(chained, lines))
    found = {(finding.code, finding.place) for finding in verification.findings if finding.grave}
    assert (("edited", place + 1) in found) is (number != place)


@given(st.integers(0, RECORDS), st.integers(1, 5))
def test_removed_records_are_named(chained, start, count):
    lines = lines_of(chained)
    end = min(start + count, len(lines) - 1)  # the tail is another test
    if start == end:
        return
    verification = verify_segment(attacked(chained, lines[:start] + lines[end:]))
    assert "removed" in codes(verification)
    message = next(finding.message for finding in verification.findings if finding.code == "removed")
    assert str(start) in message
    assert str(end - 1) in message


@given(st.integers(0, RECORDS), st.integers(0, RECORDS))
def test_swapped_records_are_found(chained, one, other):
    if one == other:
        return
    lines = lines_of(chained)
    lines[one], lines[other] = lines[other], lines[one]
    assert "moved" in codes(verify_segment(attacked(chained, lines)))


def test_swapped_records_have_the_right_keys_still(sealed):
    lines = lines_of(sealed)
    lines[3], lines[4] = lines[4], lines[3]
    assert codes(verify_segment(attacked(sealed, lines), private=PRIVATE)) == {"moved"}


@given(st.integers(1, RECORDS + 1), st.booleans())
def test_an_inserted_record_is_found_also_with_a_link_that_fits(chained, place, fits):
    lines = lines_of(chained)
    before = split_line(lines[place - 1].rstrip()).chain if fits else START
    chain = Chain(number=place, head=before)
    lines.insert(place, chain.line(b'"kind":"decision","number":99'))
    assert "inserted" in codes(verify_segment(attacked(chained, lines))) or place == len(lines) - 1
    assert not verify_segment(attacked(chained, lines)).intact


@given(st.integers(0, RECORDS + 1))
def test_a_cut_tail_cannot_be_told_from_a_crash_and_it_says_so(chained, kept):
    lines = lines_of(chained)[:kept]
    verification = verify_segment(attacked(chained, lines))
    assert verification.intact
    assert verification.finished == (kept == RECORDS + 1)
    assert ("a crash looks the same" in verification.describe()) == (kept <= RECORDS)
    assert {finding.code for finding in verification.findings} <= {"unfinished", "empty"}


@given(st.integers(0, RECORDS), st.integers(1, 40))
def test_a_torn_line_is_no_proof_of_an_attack(chained, kept, rest):
    lines = lines_of(chained)
    torn = attacked(chained, [*lines[:kept], lines[kept][:rest]])
    verification = verify_segment(torn)
    assert verification.intact
    assert verification.findings[0].code == "torn"
    assert verification.records == kept


def changed_from(file, start):
    """Record ``start`` changed, and the chain computed anew from there."""
    lines = lines_of(file)
    lines[start] = lines[start].replace(b',"kind":', b',"added":1,"kind":')
    return relinked(lines, start)


@given(st.integers(0, RECORDS))
def test_without_keys_and_anchors_a_rewritten_chain_is_not_found(chained, start):
    verification = verify_segment(attacked(chained, changed_from(chained, start)))
    assert verification.intact
    assert "by somebody who also computed the chain anew" in verification.describe()


@given(st.integers(0, RECORDS))
def test_macs_show_a_rewritten_chain(sealed, start):
    copy = attacked(sealed, changed_from(sealed, start))
    assert verify_segment(copy).intact  # without the operator's key nobody can tell
    verification = verify_segment(copy, private=PRIVATE)
    assert codes(verification) == {"forged"}
    assert verification.findings[0].place == start + 1


@given(st.integers(1, RECORDS), st.integers(0, RECORDS))
def test_who_gets_the_key_later_can_forge_nothing_that_was_before(sealed, known, start):
    keys = keys_from(sealed, known)
    lines = lines_of(sealed)
    lines[start] = lines[start].replace(b',"kind":', b',"added":1,"kind":')
    verification = verify_segment(attacked(sealed, relinked(lines, start, keys=keys)), private=PRIVATE)
    assert verification.intact == (start >= known)  # from then on, everything is theirs


@given(st.integers(1, RECORDS), st.integers(1, RECORDS - 1))
def test_who_gets_the_key_later_cannot_end_the_segment_earlier(sealed, known, end):
    footer = b'"kind":"footer","time":1.0,"records":%d,"lost":0' % (end + 1)
    lines = lines_of(sealed)[:end]
    key = keys_from(sealed, known).get(end)
    chain = Chain(end, split_line(lines[-1].rstrip()).chain, bytearray(key or bytes(32)))
    verification = verify_segment(attacked(sealed, [*lines, chain.line(footer)]), private=PRIVATE)
    assert verification.intact == (end >= known)


def test_another_segment_with_another_key_is_found_by_an_anchor_alone(tmp_path):
    anchor = tmp_path / "elsewhere.jsonl"
    file = written(tmp_path / "true", sealed=True, anchor=anchor)
    name = file.stem
    forged = written(tmp_path / "forged", sealed=True)
    lines = lines_of(forged)
    lines[0] = lines[0].replace(forged.stem.encode(), name.encode())
    header = json.loads(lines[0])
    key = open_sealed(header["seal"]["sealed"], PRIVATE)
    keys = {}
    for number in range(len(lines)):
        keys[number] = bytes(key)
        key = sha256(key).digest()
    file.write_bytes(b"".join(relinked(lines, 0, keys=keys)))
    alone = verify_segment(file, private=PRIVATE)
    assert alone.intact
    assert "an anchor would show it" in alone.describe()
    assert codes(verify_segment(file, private=PRIVATE, anchors=read_anchors(anchor))) == {"rewritten"}


@pytest.fixture(scope="module")
def anchored(tmp_path_factory):
    directory = tmp_path_factory.mktemp("anchored")
    file = written(directory / "journal", sealed=False, anchor=directory / "anchors.jsonl")
    anchors = read_anchors(directory / "anchors.jsonl")
    assert [anchor.number for anchor in anchors] == [DENIAL, RECORDS - 1, RECORDS]
    return file, anchors[:1]


@given(start=st.integers(0, RECORDS))
def test_an_anchor_vouches_for_what_is_before_it(anchored, start):
    file, anchors = anchored
    verification = verify_segment(attacked(file, changed_from(file, start)), anchors=anchors)
    assert verification.intact == (start > DENIAL)
    assert codes(verification) <= {"rewritten"}
    assert "after record 6" in verification.describe()


@given(kept=st.integers(0, RECORDS))
def test_an_anchor_shows_a_tail_that_is_gone(anchored, kept):
    file, anchors = anchored
    verification = verify_segment(attacked(file, lines_of(file)[:kept]), anchors=anchors)
    assert verification.intact == (kept > DENIAL)
    assert codes(verification) == (set() if kept > DENIAL else {"cut"})


def test_a_segment_that_is_gone_is_missed_by_anchors_and_by_those_who_go_on_from_it(anchored, tmp_path):
    file, anchors = anchored
    (tmp_path / "other.jsonl").write_bytes(file.read_bytes())
    one, missing = verify_journal(tmp_path, anchors=anchors)
    assert codes(one) == {"renamed"}
    assert (missing.segment, codes(missing)) == (file.stem, {"missing"})
    assert "an anchor knows it" in missing.describe()


def test_records_after_the_footer_and_second_headers_are_found(chained):
    lines = lines_of(chained)
    after = Chain(RECORDS + 1, split_line(lines[-1].rstrip()).chain).line(b'"kind":"decision"')
    assert codes(verify_segment(attacked(chained, [*lines, after]))) == {"inserted"}


def test_a_footer_that_counts_wrongly_is_found(chained):
    lines = lines_of(chained)
    lines[-1] = lines[-1].replace(b'"records":12', b'"records":13')
    assert codes(verify_segment(attacked(chained, relinked(lines, RECORDS)))) == {"footer"}


def test_a_first_record_that_is_no_header_and_a_format_of_the_future_are_found(chained):
    lines = renumbered(lines_of(chained)[1:], 0)
    assert "header" in codes(verify_segment(attacked(chained, relinked(lines, 0))))
    lines = lines_of(chained)
    lines[0] = lines[0].replace(b'"format":1', b'"format":2')
    assert codes(verify_segment(attacked(chained, relinked(lines, 0)))) == {"header"}


def test_taking_the_macs_away_is_found(sealed):
    lines = [
        b'%b,"chain":"%b"}\n' % (split_line(line.rstrip()).text, split_line(line.rstrip()).chain.hex().encode())
        for line in lines_of(sealed)
    ]
    assert codes(verify_segment(attacked(sealed, lines), private=PRIVATE)) == {"forged"}
    header = json.loads(lines[0])
    seal = b',"seal":' + json.dumps(header["seal"], separators=(",", ":")).encode()
    lines[0] = lines[0].replace(seal, b"")
    assert codes(verify_segment(attacked(sealed, relinked(lines, 0)), private=PRIVATE)) == {"unsealed"}


def test_another_private_key_and_a_changed_seal_are_found(sealed):
    other, _ = new_key_pair()
    assert codes(verify_segment(sealed, private=other)) == {"key"}
    with pytest.raises(JournalError, match="is no key"):
        verify_segment(sealed, private="bm8=")
    lines = lines_of(sealed)
    fake = b64encode(bytes(80))
    lines[0] = lines[0].replace(json.loads(lines[0])["seal"]["sealed"].encode(), fake)
    assert codes(verify_segment(attacked(sealed, relinked(lines, 0)), private=PRIVATE)) == {"key"}


def test_numbers_far_away_cost_nothing(sealed):
    lines = lines_of(sealed)
    lines[5] = lines[5].replace(b'{"n":5,', b'{"n":9223372036854775000,')
    verification = verify_segment(attacked(sealed, lines), private=PRIVATE)
    assert {"removed", "forged"} <= codes(verification)


def test_a_journal_that_is_not_there_says_so(tmp_path):
    with pytest.raises(InvalidJournal, match="has no segments"):
        verify_journal(tmp_path)
    with pytest.raises(InvalidJournal, match="cannot be read: No such file"):
        verify_journal(tmp_path / "gone.jsonl")
    with pytest.raises(InvalidJournal, match="cannot be read: No such file"):
        read_anchors(tmp_path / "gone")


def test_one_segment_can_be_verified_alone(chained):
    (verification,) = verify_journal(chained)
    assert verification.intact


@pytest.mark.parametrize(
    "line", ["[]", "{", "[" * 100_000, '{"segment":1,"number":1,"chain":"","time":1}', '{"segment":""}']
)
def test_a_line_that_is_no_anchor_is_named(line, tmp_path):
    file = Path(tmp_path / "anchors")
    file.write_text('{"segment":"s","number":1,"chain":"c","time":1}\n' + line + "\n")
    with pytest.raises(InvalidJournal, match="line 2 is no anchor"):
        read_anchors(file)
