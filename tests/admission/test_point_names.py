"""The layer in a name, and lists in messages."""

from __future__ import annotations

import pytest

from hookframe.admission.listing import listed
from hookframe.admission.point_names import layer_in


@pytest.mark.parametrize(
    ("name", "anywhere", "second", "not_last"),
    [
        ("blocks.3.hook_out", 3, 3, 3),
        ("h.3", 3, 3, None),
        ("3.blocks.4.x", 3, None, 3),
        ("hook_embed", None, None, None),
        ("blocks.²", None, None, None),
        ("blocks." + "1" * 10 + ".x", None, None, None),
        ("", None, None, None),
    ],
)
def test_the_layer_is_the_first_number_among_the_parts_that_may_be_one(name, anywhere, second, not_last):
    assert layer_in(name) == anywhere
    assert layer_in(name, slice(1, 2)) == second
    assert layer_in(name, slice(None, -1)) == not_last


@pytest.mark.parametrize(
    ("items", "most", "separator", "text"),
    [
        ([], 5, ", ", ""),
        ("ab", 2, ", ", "a, b"),
        ("abc", 2, ", ", "a, b and 1 more"),
        (range(9), 3, "; ", "0; 1; 2; and 6 more"),
    ],
)
def test_a_long_list_is_cut_and_says_by_how_much(items, most, separator, text):
    assert listed(iter(items), most, separator) == text
