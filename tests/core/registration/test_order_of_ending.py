"""Operations at one point: each takes away what it brought, in whichever order they end."""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import pytest

POINT = "blocks.1.hook_mlp_out"
DIRECTIONS = {"activation": ("fwd",), "gradient": ("bwd",), "both": ("fwd", "bwd")}


class Operation:
    """One that counts, under its number, what its hooks see."""

    def __init__(self, model, number, directions, seen):
        def note(tensor, hook):
            seen.append(number)

        hooks = {f"{direction}_hooks": [(POINT, note)] for direction in directions}
        self.context = model.hooks(**hooks)


def fired(model, x, seen):
    """Which operations' hooks a forward and its backward reach."""
    seen.clear()
    model(x.requires_grad_()).sum().backward()
    return sorted(seen)


@pytest.mark.parametrize("before", [False, True], ids=["first of its kind", "planned before"])
@pytest.mark.parametrize("directions", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_whichever_operation_ends_the_others_hooks_stay(model, x, directions, order, before):
    seen = []
    if before:
        with Operation(model, 9, directions, seen).context:
            assert fired(model, x, seen) == [9] * len(directions)
    operations = [Operation(model, number, directions, seen) for number in range(3)]
    with ExitStack() as open_ones:
        for operation in operations:
            open_ones.enter_context(operation.context)
        left = [0, 1, 2]
        for number in order:
            operations[number].context.__exit__(None, None, None)
            left.remove(number)
            assert fired(model, x, seen) == sorted(left * len(directions))


@pytest.mark.parametrize("directions", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_hook_that_was_added_inside_outlives_the_operation(model, x, directions):
    seen = []
    with Operation(model, 0, directions, seen).context:
        for direction in directions:
            model.add_hook(POINT, lambda tensor, hook: seen.append(-1), dir=direction)
    assert fired(model, x, seen) == [-1] * len(directions)


@pytest.mark.parametrize("directions", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_hook_that_was_there_before_outlives_the_operation(model, x, directions):
    seen = []
    for direction in directions:
        model.add_hook(POINT, lambda tensor, hook: seen.append(-1), dir=direction)
    with Operation(model, 0, directions, seen).context:
        assert fired(model, x, seen) == [-1] * len(directions) + [0] * len(directions)
    assert fired(model, x, seen) == [-1] * len(directions)
