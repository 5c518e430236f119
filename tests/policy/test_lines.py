"""The line of each key and value of a TOML text."""

from __future__ import annotations

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from hookframe.policy.files.lines import Lines

TEXT = b"""a = 1
b.c = 2
"q x".y = { k = 3, "l.m" = [
  4,
  # not an item
  { n = 5 },
] }

[t]
u = 6

[t.v]
w = 7

[[r]]
x = 8
[r.s]
y = 9
[[r]]

[[r.q]]
[[r.q]]
z = 10

[[a1.a1]]
k = 11
[[a1.a1]]
k = 12
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("a",), 1),
        (("b", "c"), 2),
        (("q x", "y", "k"), 3),
        (("q x", "y", "l.m", 0), 4),
        (("q x", "y", "l.m", 1), 6),
        (("q x", "y", "l.m", 1, "n"), 6),
        (("t",), 9),
        (("t", "u"), 10),
        (("t", "v", "w"), 13),
        (("r", 0), 15),
        (("r", 0, "s", "y"), 18),
        (("r", 1), 19),
        (("r", 1, "q", 1, "z"), 23),
        (("a1", "a1", 0, "k"), 26),
        (("a1", "a1", 1, "k"), 28),
        (("r", 0, "nowhere", "deeper"), 15),  # what is not written has the line of what is around it
        (("nowhere",), 1),
        ((), 1),
    ],
)
def test_lines(place, line):
    assert Lines(TEXT).of(place) == line


def test_a_key_of_one_letter_in_an_array_of_the_same_name():
    assert Lines(b"[[x.x]]\nk = 1\n[[x.x]]\nk = 2").of(("x", "x", 1, "k")) == 4


@pytest.mark.parametrize("text", [b"", b"a = ", b"[", b"[[", b"= 3", b"\xff\x00", b"a = [1, {"])
def test_a_text_that_cannot_be_read_gives_lines_as_far_as_it_goes(text):
    assert Lines(text).of(("a", 0)) == 1


keys = st.sampled_from(["a", "b", "x y", "c-d", "é"])
values = st.recursive(
    st.none(),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(keys, inner, min_size=1, max_size=3),
    max_leaves=12,
)


def numbered(value, count):
    """The same with a number of its own for each leaf."""
    if isinstance(value, dict):
        return {key: numbered(inner, count) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbered(inner, count) for inner in value]
    count.append(None)
    return 1000 + len(count)


def leaves(value, place=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not isinstance(value, (dict, list)):
        yield place, value
    for key, inner in items:
        yield from leaves(inner, (*place, key))


@given(st.dictionaries(keys, values, min_size=1, max_size=4))
def test_the_line_of_a_value_is_the_one_that_it_is_written_on(table):
    table = numbered(table, [])
    text = tomli_w.dumps(table)
    assert tomllib.loads(text) == table
    lines = Lines(text.encode())
    for place, number in leaves(table):
        assert str(number) in text.splitlines()[lines.of(place) - 1]
