"""``point.fwd_hooks`` and ``point.bwd_hooks``: lists that show what is attached, and that hooks can be dropped from."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import hookframe
from hookframe import HookDenied, HookHandle, HookPoint, Objection, hookimpl

DIRECTIONS = ("fwd", "bwd")


def tenfold(tensor, hook):
    return tensor * 10


def nothing(tensor, hook):
    return None


def listed(point, direction):
    return getattr(point, f"{direction}_hooks")


def filled(direction, count=3):
    point = HookPoint()
    return point, [point.add_hook(lambda tensor, hook: None, direction) for _ in range(count)], listed(point, direction)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_list_that_was_taken_before_shows_what_is_attached_now(direction):
    point = HookPoint()
    handles = listed(point, direction)
    assert not handles
    assert handles == []
    first = point.add_hook(nothing, direction)
    second = point.add_hook(nothing, direction, prepend=True)
    assert isinstance(handles, list)
    assert len(handles) == 2
    assert (
        handles
        == [second, first]
        == [*handles]
        == list(handles)
        == sorted(handles, key=id, reverse=id(first) < id(second))
    )
    assert handles[0] is second is handles[-2]
    assert handles[1:] == [first]
    assert [*reversed(handles)] == [first, second]
    assert first in handles
    assert handles.index(first) == 1
    assert handles + handles == [second, first] * 2 == handles * 2
    assert list.__add__([], listed(point, direction)) == [second, first]
    assert copy.copy(handles) == copy.copy(handles) == handles.copy()
    assert type(handles.copy()) is list
    assert repr(first) in repr(handles)
    second.remove()
    assert handles == [first] != [second, first]
    assert handles == listed(point, direction)
    point.remove_hooks(direction)
    assert handles == []


def test_a_list_can_be_pickled():
    point = HookPoint()
    point.add_hook(nothing)
    assert len(pickle.loads(pickle.dumps(point)).fwd_hooks) == 1
    assert pickle.loads(pickle.dumps(HookPoint().fwd_hooks)) == []


DROPS = {
    "remove": (lambda handles, given: handles.remove(given[1]), [0, 2]),
    "del one": (lambda handles, given: handles.__delitem__(0), [1, 2]),
    "del some": (lambda handles, given: handles.__delitem__(slice(0, 2)), [2]),
    "pop": (lambda handles, given: handles.pop(), [0, 1]),
    "pop the first": (lambda handles, given: handles.pop(0), [1, 2]),
    "clear": (lambda handles, given: handles.clear(), []),
    "assign a part": (lambda handles, given: handles.__setitem__(slice(None), [given[0], given[2]]), [0, 2]),
    "assign a slice": (lambda handles, given: handles.__setitem__(slice(1, 3), []), [0]),
    "assign all": (lambda handles, given: handles.__setitem__(slice(None), given), [0, 1, 2]),
    "extend by none": (lambda handles, given: handles.extend([]), [0, 1, 2]),
    "times nothing": (lambda handles, given: handles.__imul__(0), []),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("drop", DROPS)
def test_an_edit_that_only_drops_handles_detaches_them(direction, drop):
    point, given, handles = filled(direction)
    edit, left = DROPS[drop]
    edit(handles, given)
    assert handles == listed(point, direction) == [given[place] for place in left]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_list_can_be_assigned(direction):
    point, given, _ = filled(direction)
    setattr(point, f"{direction}_hooks", [given[1]])
    assert listed(point, direction) == [given[1]]
    setattr(point, f"{direction}_hooks", listed(point, direction))
    assert listed(point, direction) == [given[1]]
    setattr(point, f"{direction}_hooks", [])
    assert not point.has_hooks()


def test_what_was_dropped_runs_no_more(two):
    x = torch.ones(3, requires_grad=True)
    plain = two(x)
    two.add_hook("first", tenfold)
    two.add_hook("second", tenfold, dir="bwd")
    two.first.fwd_hooks.clear()
    two.second.bwd_hooks = []
    assert two(x).equal(plain)
    two(x, loss=True).backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


ADDS = {
    "append": lambda handles, other: handles.append(other),
    "insert": lambda handles, other: handles.insert(0, other),
    "extend": lambda handles, other: handles.extend([other]),
    "+=": lambda handles, other: handles.__iadd__([other]),
    "set one": lambda handles, other: handles.__setitem__(0, other),
    "set all": lambda handles, other: handles.__setitem__(slice(None), [*handles, other]),
    "twice": lambda handles, other: handles.__imul__(2),
    "in another order": lambda handles, other: handles.reverse(),
    "sorted backwards": lambda handles, other: handles.sort(key=[*handles].index, reverse=True),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("add", ADDS)
def test_adding_by_hand_is_refused_and_says_how_it_is_done(direction, add):
    point, given, handles = filled(direction)
    with pytest.raises(TypeError, match=r"add_hook\(\)"):
        ADDS[add](handles, HookHandle(None))
    assert handles == given
    assert listed(point, direction) == given


def test_a_list_that_was_emptied_is_not_filled_again_in_silence():
    point, _, handles = filled("fwd")
    saved = [*handles]
    point.fwd_hooks = []
    with pytest.raises(TypeError, match=r"add_hook\(\)"):
        point.fwd_hooks = saved


def test_removing_a_handle_that_is_off_already_does_nothing_and_a_foreign_one_is_an_error():
    point, given, handles = filled("fwd")
    given[0].hook.remove()
    handles.remove(given[0])
    assert handles == given[1:]
    for foreign in (HookPoint().add_hook(nothing), point.add_hook(nothing, "bwd"), HookHandle(None), None):
        with pytest.raises(ValueError, match="not attached here"):
            handles.remove(foreign)


def test_a_context_can_be_ended_by_hand_handle_by_handle(two):
    """As TransformerLens's bridge does it."""
    kept = two.add_hook("first", nothing)
    with two.hooks(fwd_hooks=[("first", tenfold)]):
        handles = two.first.fwd_hooks
        for handle in handles:
            if handle.context_level == 1:
                handle.hook.remove()
        handles[:] = [handle for handle in handles if handle.context_level != 1]
        assert handles == [kept]
        assert two(torch.ones(3)).tolist() == [3.0, 5.0, 7.0]
    assert two.first.fwd_hooks == [kept]


def test_dropping_is_reviewed_as_a_removal_is(two):
    class Keep:
        @hookimpl
        def hookframe_check_reset(self, request):
            return Objection.deny(request, rule="keep", message="these stay", remedy="use the handle")

    permanent, other = two.first.add_perma_hook(nothing), two.first.add_hook(nothing)
    with hookframe.use_plugins(Keep()):
        for drop in (
            two.first.fwd_hooks.clear,
            lambda: two.first.fwd_hooks.remove(permanent),
            lambda: setattr(two.first, "fwd_hooks", []),
        ):
            with pytest.raises(HookDenied, match="these stay"):
                drop()
        assert two.first.fwd_hooks == [permanent, other]
        two.first.fwd_hooks.remove(other)
    assert two.first.fwd_hooks == [permanent]


def test_observers_hear_of_what_was_dropped(two):
    class Watch:
        heard: list[object] = []

        @hookimpl
        def hookframe_hooks_removed(self, event):
            self.heard.append((event.route, event.points))

    two.add_hook("first", nothing)
    two.first.add_hook(nothing)
    with hookframe.use_plugins(Watch()):
        two.first.fwd_hooks.clear()
    assert Watch.heard == [("remove_hooks", ("first", "first"))]


def test_each_hook_has_an_id_of_its_own(two):
    handles = [*two.add_hook(lambda name: True, nothing), two.first.add_hook(nothing, "bwd")]
    ids = [handle.hook.id for handle in handles]
    assert all(type(number) is int for number in ids)
    assert len({*ids}) == 3
    assert ids == [handle.hook.id for handle in handles]


def test_compiled_code_reads_the_lists():
    class Reads(hookframe.HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_scale = HookPoint()
            self.setup()

        def forward(self, x):
            return self.hook_scale(x) + 100 if self.hook_scale.bwd_hooks else self.hook_scale(x)

    model = Reads()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert compiled(torch.ones(1)).item() == 1.0
    model.add_hook("hook_scale", nothing, dir="bwd")
    assert compiled(torch.ones(1)).item() == 101.0
