"""Slices of one dimension."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hookframe import Slice

SIZE = 7
ends = st.none() | st.integers(-SIZE - 2, SIZE + 2)
steps = st.none() | st.integers(1, 3)
positions = st.lists(st.integers(-SIZE, SIZE - 1), min_size=1, max_size=5)
tensor = torch.arange(SIZE * 4).reshape(SIZE, 4)


@given(st.integers(-SIZE, SIZE - 1))
def test_an_int_picks_one_index_and_the_dimension_goes(index):
    assert Slice(index).apply(tensor).equal(tensor[index])
    assert Slice(index).apply(tensor.T, dim=1).equal(tensor.T[:, index])


@pytest.mark.parametrize(
    "kind",
    [np.int64, np.array, torch.tensor, lambda i: torch.tensor(i, dtype=torch.int8)],
    ids=["np", "array", "tensor", "int8"],
)
@pytest.mark.parametrize("index", [0, 2, -1])
def test_one_integer_of_numpy_or_torch_is_an_int(kind, index):
    picked = Slice(kind(index))
    assert (picked.mode, type(picked.slice)) == ("int", int)
    assert picked.apply(tensor).equal(tensor[index])
    assert picked.indices().tolist() == [index]
    assert Slice.unwrap(kind(index)).apply(tensor).equal(tensor[[index]])
    assert repr(picked) == repr(Slice(index))


@pytest.mark.parametrize(
    "value", [torch.tensor(2.0), np.array(2.0), torch.tensor(True), np.array(True), np.array("2"), True]
)
def test_one_of_another_kind_is_refused(value):
    with pytest.raises(ValueError, match="Invalid input_slice"):
        Slice(value)
    with pytest.raises(ValueError, match="Invalid input_slice"):
        Slice.unwrap(value)


def test_the_parameter_of_unwrap_has_a_name():
    assert Slice.unwrap(slice_input=2).apply(tensor).equal(tensor[[2]])


@given(st.tuples(ends) | st.tuples(ends, ends) | st.tuples(ends, ends, steps))
def test_a_tuple_is_the_arguments_of_a_slice(arguments):
    assert Slice(arguments).apply(tensor).equal(tensor[slice(*arguments)])


@given(positions, st.sampled_from([list, torch.tensor, np.array]))
def test_a_list_tensor_or_array_picks_indices(indices, kind):
    assert Slice(kind(indices)).apply(tensor).equal(tensor[indices])


def test_none_is_the_identity():
    assert Slice(None).apply(tensor).equal(tensor)
    assert Slice().apply(tensor).equal(tensor)


@pytest.mark.parametrize("value", ["2", 1.5, {0}, object, {0: 1}], ids=repr)
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError, match="Invalid input_slice"):
        Slice(value)


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (3, "int"),
        ((1, 4), "slice"),
        ([1, 2], "array"),
        (torch.tensor([0, 1]), "array"),
        (np.array([0, 1]), "array"),
        (None, "identity"),
    ],
    ids=str,
)
def test_the_mode_says_what_kind_it_is(value, mode):
    assert Slice(value).mode == mode


@pytest.mark.parametrize("value", [2, (1, 3), [0, 2], None], ids=str)
@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2, -3])
def test_apply_works_on_the_dimension_given(value, dim):
    cube = torch.arange(4 * 5 * 6).reshape(4, 5, 6)
    chosen = slice(*value) if isinstance(value, tuple) else slice(None) if value is None else value
    index = [slice(None)] * 3
    index[dim] = chosen
    assert Slice(value).apply(cube, dim=dim).equal(cube[tuple(index)])


def test_the_dimension_is_the_first_by_default():
    assert Slice(0).apply(tensor).equal(tensor[0])


@given(st.integers(0, SIZE - 1) | st.tuples(ends, ends, steps) | positions | st.none())
def test_indices_are_those_that_apply_picks(value):
    found = Slice(value).indices(SIZE)
    assert found.dtype == np.int64
    picked = Slice(value).apply(torch.arange(SIZE))
    assert found.reshape(-1).tolist() == picked.reshape(-1).tolist()


@pytest.mark.parametrize("value", [(1, 3), [0, 2], None], ids=str)
def test_indices_need_the_size_unless_it_is_an_int(value):
    with pytest.raises(ValueError, match="max_ctx"):
        Slice(value).indices()


def test_the_index_of_an_int_needs_no_size():
    indices = Slice(5).indices()
    assert indices.dtype == np.int64
    assert indices.tolist() == [5]


def test_unwrap_leaves_a_slice_as_it_is():
    given_slice = Slice((1, 2))
    assert Slice.unwrap(given_slice) is given_slice


def test_unwrap_leaves_a_slice_of_an_int_as_it_is():
    given_slice = Slice(3)
    assert Slice.unwrap(given_slice).mode == "int"


@pytest.mark.parametrize("index", [0, 3, -1])
def test_unwrap_keeps_the_dimension_for_an_int(index):
    assert Slice.unwrap(index).apply(tensor).equal(tensor[[index]])


@pytest.mark.parametrize(("value", "mode"), [((1, 3), "slice"), ([0, 1], "array"), (None, "identity")], ids=str)
def test_unwrap_makes_a_slice_of_anything_else(value, mode):
    assert Slice.unwrap(value).mode == mode
    assert Slice.unwrap(value).apply(tensor).equal(Slice(value).apply(tensor))


def test_unwrap_refuses_what_the_constructor_refuses():
    with pytest.raises(ValueError, match="Invalid input_slice"):
        Slice.unwrap("2")


@pytest.mark.parametrize(
    ("value", "parts"),
    [(3, ["3", "int"]), ((1, 4), ["slice(1, 4", "slice"]), ([1, 2], ["1, 2", "array"]), (None, ["identity"])],
    ids=str,
)
def test_the_repr_shows_slice_and_mode(value, parts):
    text = repr(Slice(value))
    assert text.startswith("Slice")
    for part in parts:
        assert part in text
