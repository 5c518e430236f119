"""What a key-value cache shows of its rows, in each of the shapes that caches have."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hookframe.capture.row_watch import RowWatch

KEYS = torch.arange(48.0).view(2, 2, 4, 3)  # [batch, head, pos, d_head]


def holding(keys):
    return SimpleNamespace(layers=[SimpleNamespace(keys=None), SimpleNamespace(keys=keys)])


SHAPES = {
    "tuples": lambda keys: ((keys, keys), (keys, keys)),
    "layers": holding,
    "encoder and decoder": lambda keys: SimpleNamespace(self_attention_cache=holding(keys)),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    ("then", "moved"),
    [
        (KEYS, False),
        (KEYS.clone(), False),
        (KEYS[[1, 0]], True),
        (KEYS[[0, 0]], True),
        (KEYS[:1], True),
        (KEYS[:, :, :3], False),  # cut back, as assisted decoding does
        (torch.cat([KEYS, KEYS], dim=2), False),
        (KEYS.half(), False),  # another kind of tensor says nothing
        (KEYS[..., :2], False),
        (torch.zeros(2, 2, 0, 3), False),  # a fresh cache
        (None, False),
    ],
)
def test_rows_that_moved_are_told_from_those_that_did_not(shape, then, moved):
    watch = RowWatch()
    watch.look({"past_key_values": shape(KEYS)}, None)
    assert watch.have_moved({"past_key_values": shape(then)}) is moved
    assert watch.have_moved({"past_key_values": shape(KEYS[[1, 0]])}) is False  # compared once, with what was left last


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    ("then", "taken"),
    [
        (KEYS[:, :, :3], 1),
        (KEYS[:, :, :1].clone(), 3),
        (KEYS, 0),
        (torch.cat([KEYS, KEYS], dim=2), 0),
        (KEYS[:, :, 1:3], 0),  # another text
        (KEYS[:1, :, :3], 0),
        (KEYS[:, :, :3].half(), 0),  # another kind of tensor says nothing
        (None, 0),
    ],
)
def test_positions_that_were_taken_back_are_counted(shape, then, taken):
    """The next forward shows it; of two that are not the same cache, only where caches are made anew each time."""
    watch = RowWatch()
    watch.look({"past_key_values": shape(KEYS)}, None)
    assert watch.taken_back() == 0
    expected = taken if shape is SHAPES["tuples"] else 0
    assert watch.taken_back({"past_key_values": shape(then)}) == expected


@pytest.mark.parametrize(("then", "taken"), [(KEYS[:, :, :3], 1), (torch.cat([KEYS, KEYS], dim=2), 0), (None, 0)])
def test_a_cache_that_is_cut_back_shows_it_at_once(then, taken):
    cache = holding(KEYS)
    watch = RowWatch()
    watch.look({"past_key_values": cache}, None)
    cache.layers[1].keys = then
    assert watch.taken_back() == watch.taken_back({"input_ids": KEYS}) == taken
    watch.forget()
    assert watch.taken_back() == 0


def test_a_layer_with_a_window_says_itself_how_long_it_is():
    """It holds fewer keys than it has seen, and lets go of some without going back in the text."""
    layer = SimpleNamespace(keys=KEYS, get_seq_length=lambda: length)
    length, watch = 9, RowWatch()
    watch.look({"cache": SimpleNamespace(layers=[layer])}, None)
    layer.keys = KEYS[:, :, 1:]
    assert watch.taken_back() == 0
    length = 7
    assert watch.taken_back() == 2


@pytest.mark.parametrize(
    "output",
    [
        {"logits": KEYS, "past_key_values": holding(KEYS)},
        SimpleNamespace(cache=holding(KEYS)),
        (KEYS, ((KEYS, KEYS),)),
        [KEYS, holding(KEYS)],
    ],
)
def test_a_cache_that_a_forward_made_itself_is_found_in_what_it_returns(output):
    watch = RowWatch()
    watch.look({"input_ids": KEYS}, output)
    assert watch.have_moved({"cache": holding(KEYS[[1, 0]])})


@pytest.mark.parametrize("output", [None, KEYS, (KEYS,), (), {"hidden_states": (KEYS, KEYS)}, 3])
def test_what_holds_no_cache_says_nothing(output):
    watch = RowWatch()
    watch.look({}, output)
    assert not watch.have_moved({"cache": holding(KEYS[[1, 0]])})


@given(st.permutations(range(4)), st.integers(1, 3))
def test_rows_have_moved_if_one_of_them_is_not_what_it_was(order, distinct):
    keys = torch.arange(4)[:, None, None, None].remainder(distinct).expand(4, 2, 3, 2).float()
    watch = RowWatch()
    watch.look({"cache": holding(keys)}, None)
    assert watch.have_moved({"cache": holding(keys[list(order)])}) == any(
        row % distinct != place % distinct for place, row in enumerate(order)
    )
