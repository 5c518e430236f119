"""Between a module's layout and that of hook functions: whatever the sizes, a round trip gives the same values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hookframe.instrumenting.heads import HeadsApart, HeadsBehindPositions, put_part, take_part
from hookframe.instrumenting.picking import locate, put_argument, put_back, take, take_argument
from hookframe.instrumenting.place import Part

sizes = st.integers(1, 4)


@given(sizes, sizes, sizes)
def test_heads_apart_is_a_view_and_comes_back(pos, heads, d_head):
    x = torch.arange(2.0 * pos * heads * d_head).view(2, pos, heads * d_head)
    split = HeadsApart(heads).convert(x)
    assert split.shape == (2, pos, heads, d_head)
    assert split.data_ptr() == x.data_ptr()
    assert torch.equal(split[:, :, 0], x[..., :d_head])
    assert torch.equal(HeadsApart(heads).revert(split), x)


@given(sizes, sizes, sizes)
def test_heads_behind_positions_is_a_view_and_comes_back(pos, heads, d_head):
    x = torch.arange(2.0 * pos * heads * d_head).view(2, heads, pos, d_head)
    seen = HeadsBehindPositions().convert(x)
    assert seen.shape == (2, pos, heads, d_head)
    assert torch.equal(HeadsBehindPositions().revert(seen), x)


@given(st.integers(1, 3), st.integers(0, 3), sizes, sizes, st.booleans())
def test_a_part_is_taken_and_put_and_the_others_stay(count, index, heads, d_head, per_head):
    part = Part(index % count, count, per_head)
    shape = (heads, count, d_head) if per_head else (count, heads, d_head)
    apart = torch.arange(float(2 * count * heads * d_head)).view(2, *shape)
    fused = apart.flatten(1)
    taken = take_part(fused, part, heads)
    expected = apart[:, :, part.index] if per_head else apart[:, part.index]
    assert torch.equal(taken, expected.flatten(1))
    assert torch.equal(put_part(fused, part, heads, taken), fused)
    changed = put_part(fused, part, heads, taken + 1000).view(2, *shape)
    moved = (changed != apart).transpose(1, 2) if per_head else changed != apart
    assert moved[:, part.index].all()
    assert moved.sum() == taken.numel()


keys = st.one_of(st.integers(0, 2), st.sampled_from(["a", "b", "hidden_states", "logits"]))


@given(
    st.dictionaries(st.sampled_from(["a", "b", "hidden_states", "logits"]), st.booleans(), min_size=1), st.booleans()
)
def test_what_is_located_is_taken_and_put_back_alone(entries, as_tuple):
    values = {key: torch.ones(2) if tensor else key for key, tensor in entries.items()}
    value = tuple(values.values()) if as_tuple else values
    key = locate(value)
    assert (key is None) == (not any(entries.values()))
    if key is not None:
        assert isinstance(take(value, key), torch.Tensor)
        changed = put_back(value, key, "new")
        assert type(changed) is type(value)
        assert take(changed, key) == "new"
        places = range(len(value)) if as_tuple else value
        assert all(take(changed, k) is take(value, k) for k in places if k != key)
        assert isinstance(take(value, key), torch.Tensor)  # the original is as it was


def test_the_known_names_come_before_others():
    one, two = torch.ones(1), torch.ones(2)
    assert locate({"position_ids": one, "hidden_states": two}) == "hidden_states"
    assert locate({"loss": torch.tensor(1.0), "scores": one}) == "scores"
    assert locate({"loss": torch.tensor(1.0)}) is None


@pytest.mark.parametrize(
    ("args", "kwargs", "item", "key"),
    [
        ((None, torch.ones(1)), {}, None, 1),
        ((), {"mask": torch.ones(1), "hidden_states": torch.ones(1)}, None, "hidden_states"),
        ((torch.ones(1),), {"mask": torch.ones(1)}, "mask", "mask"),
        ((3,), {"flag": True}, None, None),
    ],
)
def test_arguments_by_position_and_by_keyword(args, kwargs, item, key):
    found, value = take_argument(args, kwargs, item)
    assert found == key
    if key is not None:
        new_args, new_kwargs = put_argument(args, kwargs, key, "new")
        assert take_argument(new_args, new_kwargs, key) == (key, "new")
        assert isinstance(value, torch.Tensor)
        assert len(new_args) == len(args)
        assert len(new_kwargs) == len(kwargs)


def test_items_that_are_not_there():
    assert take((1, 2), 5) is None
    assert take(3, 0) is None
    assert take({"a": 1}, "b") is None
    assert take(object(), "b") is None
    assert put_back((1, 2, 3), -1, "new") == (1, 2, "new")
