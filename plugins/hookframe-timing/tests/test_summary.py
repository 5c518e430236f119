"""Summaries on disk: what is written is read, and what is something else is refused."""

import json

import pytest
from hookframe_timing.summary import append_summary, read_summaries
from hookframe_timing.tally import Row, merged
from hypothesis import given
from hypothesis import strategies as st

COUNTS = st.integers(0, 2**70)
NAMES = st.text(max_size=5)
ROWS = st.builds(
    Row, module=NAMES, qualname=NAMES, calls=COUNTS, total_ns=COUNTS, longest_ns=COUNTS, failures=COUNTS
)  # fmt: skip
ROW = Row(module="study", qualname="ablate", calls=2, total_ns=30, longest_ns=20)


@given(st.lists(st.lists(ROWS, max_size=3), max_size=3))
def test_what_several_processes_wrote_adds_up(tmp_path_factory, summaries):
    file = tmp_path_factory.mktemp("times") / "times.jsonl"
    file.touch()
    for rows in summaries:
        append_summary(file, rows)
    assert len(file.read_text().splitlines()) == len(summaries)
    assert read_summaries(file) == merged(row for rows in summaries for row in rows)


def changed(**facts):
    function = {"module": "m", "qualname": "f", "calls": 1, "total_ns": 1, "longest_ns": 1, "failures": 0} | facts
    return json.dumps({"schema": 1, "functions": [{k: v for k, v in function.items() if v is not None}]})


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("nonsense", "line 2 is no summary of timings: Expecting value"),
        ("\xff", "line 2 is no summary"),
        ("", "line 2 is no summary"),
        ("[1]", "it holds no functions"),
        ('{"schema": 1}', "it holds no functions"),
        ('{"schema": 2, "functions": []}', "its schema is 2, and this version reads 1"),
        ('{"schema": 1, "functions": [3]}', "a function has other keys"),
        ("[" * 100_000, "line 2 is no summary"),
        (changed(calls=None), "a function has other keys"),
        (changed(more=1), "a function has other keys"),
        (changed(calls=-1), "calls is -1"),
        (changed(calls=True), "calls is True"),
        (changed(total_ns=1.5), "total_ns is 1.5"),
        (changed(module=3), "module is 3"),
    ],
)
def test_a_line_that_is_none_is_refused_with_its_number(line, text, tmp_path):
    file = tmp_path / "times"
    append_summary(file, [ROW])
    with file.open("ab") as end:
        end.write(line.encode("latin-1") + b"\n")
    with pytest.raises(ValueError, match=text):
        read_summaries(file)
