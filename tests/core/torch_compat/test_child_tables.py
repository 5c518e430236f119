"""Whether the children of modules are what they were: what is noticed, and what costs a second look alone."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from hookframe.core.torch_compat import child_tables as versions
from hookframe.core.torch_compat.child_tables import ChildTables


@pytest.fixture
def tree():
    return nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()), nn.Sequential())


def of(tree):
    """As the tree of a model keeps them: the root's table alone, as the root is held by nobody."""
    return ChildTables([module for module in tree.modules() if module is not tree], tree)


@pytest.fixture(params=["versions", "no versions"])
def counting(request, monkeypatch):
    """torch may one day not count the changes of a dict for us."""
    if request.param == "no versions":
        numbers = itertools.count()
        monkeypatch.setattr(versions, "dict_version", lambda d: next(numbers))


CHANGES = {
    "a child added": lambda tree: tree[1].append(nn.ReLU()),
    "a child of one that had none": lambda tree: tree[2].append(nn.ReLU()),
    "a child of a leaf": lambda tree: tree[0].add_module("more", nn.ReLU()),
    "a child replaced": lambda tree: tree[1].__setitem__(0, nn.Tanh()),
    "a child deleted": lambda tree: tree[1].__delitem__(0),
    "a child of the root": lambda tree: tree.append(nn.ReLU()),
    "an empty container made again": lambda tree: tree[2].__init__(nn.ReLU()),
    "another table": lambda tree: tree[1].__dict__.__setitem__("_modules", dict(tree[1]._modules)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.usefixtures("counting")
def test_a_change_is_noticed(tree, change):
    known = of(tree)
    change(tree)
    assert not known.are_untouched()


def test_without_a_change_all_is_untouched(tree):
    known = of(tree)
    assert known.are_untouched()
    assert known.are_untouched()


def test_other_changes_of_a_module_are_looked_at_once(tree, monkeypatch):
    known = of(tree)
    tree[1].training = False
    looks = []
    monkeypatch.setattr(ChildTables, "_look", lambda self, look=ChildTables._look: looks.append(1) or look(self))
    assert [known.are_untouched() for _ in range(3)] == [True] * 3
    assert len(looks) == 1


def test_a_change_after_a_look_is_noticed(tree):
    known = of(tree)
    tree[1].training = False
    known.are_untouched()
    tree[1].append(nn.ReLU())
    assert not known.are_untouched()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_module_whose_table_is_no_dict_is_always_compared(tree):
    """As those of scripted modules are."""
    tree.append(torch.jit.script(nn.Sequential(nn.ReLU())))
    assert not of(tree).are_untouched()
