"""Which hooks the fast path attaches itself, and which it leaves to the caller."""

from __future__ import annotations

import pytest

from hookframe.core.registration import attach

POINTS = ["hook_embed", "blocks.0.hook_resid_pre", "blocks.1.hook_resid_post"]


@pytest.fixture
def left(monkeypatch):
    """For each batch that is attached or detached at once: how many hooks were left to the caller."""
    found = {"put": [], "take": []}

    def noted(name, original):
        def call(bulk, *options):
            others = original(bulk, *options)
            found[name].append(len(others))
            return others

        return call

    for name in found:
        monkeypatch.setattr(attach, name, noted(name, getattr(attach, name)))
    return found


def read(tensor, hook):
    """Look."""


def test_idle_points_get_their_hooks_at_once(model, x, left):
    model.run_with_cache(x, names_filter=POINTS)
    model.run_with_cache(x, names_filter=POINTS, incl_bwd=False)
    with model.hooks(fwd_hooks=[(POINTS, read)], bwd_hooks=[(POINTS, read)]):
        model(x.requires_grad_()).sum().backward()
    assert left == {"put": [0, 0, 0], "take": [0, 0, 0]}


def test_a_busy_point_is_left_to_the_caller(model, x, left):
    model.add_hook(POINTS[1], read)
    model.run_with_cache(x, names_filter=POINTS)
    assert left == {"put": [1], "take": [1]}
    assert [*model.list_hooks()] == [POINTS[1]]


def test_a_point_that_changed_meanwhile_is_left_to_the_caller(model, x, left):
    with model.hooks(fwd_hooks=[(POINTS, read)]):
        handle = model.add_hook(POINTS[2], read)
    assert left == {"put": [0], "take": [1]}
    assert [*model.list_hooks()] == [POINTS[2]]
    handle.remove()


def test_hooks_that_stay_are_attached_one_by_one(model, left):
    model.add_hook(POINTS, read)
    assert left == {"put": [], "take": []}
