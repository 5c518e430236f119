"""Hook points are found without a look-up in the table of children, and are gone once they are gone from there."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from hookframe import HookedRootModule, HookPoint


class Inner(nn.Module):
    named: str = "of the class"

    def __init__(self):
        super().__init__()
        self.hook_a = HookPoint()
        self.hook_b = HookPoint()

    def forward(self, x):
        return self.hook_b(self.hook_a(x))


class Outer(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.hook_c = HookPoint()
        self.setup()

    def forward(self, x):
        return self.hook_c(self.inner(x))


@pytest.fixture
def outer():
    return Outer()


def test_points_are_found_in_the_parents_own_dict(outer):
    assert outer.inner.__dict__["hook_a"] is outer.inner._modules["hook_a"]
    assert outer.__dict__["hook_c"] is outer.hook_dict["hook_c"]


def test_other_modules_are_not_touched(outer):
    assert "inner" not in outer.__dict__
    linear = nn.Linear(2, 2)
    assert type(linear._modules) is dict


def test_the_model_looks_as_it_did(outer):
    assert [name for name, _ in outer.named_modules()] == ["", "inner", "inner.hook_a", "inner.hook_b", "hook_c"]
    assert list(outer.state_dict()) == []
    assert len([*outer.inner.children()]) == 2
    assert outer.inner._modules == {"hook_a": outer.inner.hook_a, "hook_b": outer.inner.hook_b}


GONE = {
    "del": lambda m: delattr(m, "hook_a"),
    "del in the table": lambda m: m._modules.__delitem__("hook_a"),
    "pop": lambda m: m._modules.pop("hook_a"),
    "clear": lambda m: m._modules.clear(),
    "another table": lambda m: m.__dict__.update(_modules={}),
}


@pytest.mark.parametrize("how", GONE)
def test_a_point_that_was_deleted_is_gone_with_the_next_operation(outer, how):
    GONE[how](outer.inner)
    assert "inner.hook_a" not in {name for name, _, _ in outer.select_points(None)}
    assert not hasattr(outer.inner, "hook_a")
    with pytest.raises(AttributeError, match="hook_[ab]"):
        outer(torch.ones(2))


def test_a_point_can_be_put_where_another_one_was_deleted(outer):
    del outer.inner.hook_a
    outer.select_points(None)
    outer.inner.hook_a = HookPoint()
    assert "inner.hook_a" in {name for name, _, _ in outer.select_points(None)}


new = HookPoint()
REPLACED = {
    "setattr": lambda m: setattr(m, "hook_a", new),
    "in the table": lambda m: m._modules.__setitem__("hook_a", new),
    "update": lambda m: m._modules.update(hook_a=new),
    "add_module": lambda m: m.add_module("hook_a", new),
    "set_submodule": lambda m: m.set_submodule("hook_a", new),
    "del, then setattr": lambda m: (delattr(m, "hook_a"), setattr(m, "hook_a", new)),
}


@pytest.mark.parametrize("how", REPLACED)
def test_a_point_that_was_replaced_is_the_new_one(outer, how):
    REPLACED[how](outer.inner)
    assert outer.select_points("inner.hook_a")[0].point is new
    assert outer.inner.hook_a is new
    assert outer.inner.__dict__["hook_a"] is new


def test_another_module_is_found_at_once(outer):
    other = nn.Identity()
    outer.inner.hook_a = other
    assert outer.inner.hook_a is other


def test_a_point_set_to_none_is_none_with_the_next_operation(outer):
    outer.inner.hook_a = None
    outer.select_points("hook_c")
    assert outer.inner.hook_a is None


def test_without_versions_of_dicts_tables_are_compared(outer, monkeypatch):
    from hookframe.core.torch_compat import child_tables as versions

    numbers = iter(range(10**9))
    monkeypatch.setattr(versions, "dict_version", lambda table: -next(numbers))
    assert outer.selection(None) is outer.selection(None)
    del outer.inner.hook_a
    assert "inner.hook_a" not in {name for name, _, _ in outer.select_points(None)}


@pytest.mark.parametrize("travel", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("part", [lambda m: m, lambda m: m.inner], ids=["model", "part"])
def test_a_copy_has_points_of_its_own(outer, travel, part):
    original = part(outer)
    other = travel(original)
    inner = getattr(other, "inner", other)
    assert inner.hook_a is not outer.inner.hook_a
    assert inner.__dict__["hook_a"] is inner._modules["hook_a"]
    assert other(torch.ones(2)).tolist() == [1, 1]


def test_a_name_that_the_class_uses_is_left_to_it():
    class Clash(HookedRootModule):
        hook_a = "of the class"

        def __init__(self):
            super().__init__()
            self._modules["hook_a"] = HookPoint()
            self.setup()

    model = Clash()
    assert model.hook_a == "of the class"
    assert list(model.hook_dict) == ["hook_a"]


@pytest.mark.parametrize("part", ["", "inner"])
def test_a_table_of_another_kind_is_left_alone(outer, part):
    class Table(dict):
        pass

    module = outer.get_submodule(part)
    module.__dict__["_modules"] = Table(module._modules)
    outer.setup()
    assert type(module._modules) is Table
    module._modules["hook_d"] = HookPoint()
    assert f"{part}.hook_d".strip(".") in {name for name, _, _ in outer.select_points(None)}


def test_a_model_that_had_no_modules_finds_its_first_point():
    model = HookedRootModule()
    model.setup()
    assert model.select_points(None) == []
    model.hook_a = HookPoint()
    assert [name for name, _, _ in model.select_points(None)] == ["hook_a"]


def test_containers_work_as_before():
    class Listed(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.points = nn.ModuleList([HookPoint() for _ in range(3)])
            self.named = nn.ModuleDict({"hook_x": HookPoint(), "hook_y": HookPoint()})
            self.setup()

    model = Listed()
    del model.points[1]
    model.points.append(HookPoint())
    model.points.insert(0, HookPoint())
    assert model.named.pop("hook_x") is not None
    assert list(dict.fromkeys(name for name, _, _ in model.select_points(None))) == [
        *(f"points.{index}" for index in range(4)), "named.hook_y"
    ]  # fmt: skip


def test_two_models_that_share_a_part_both_notice(outer):
    class Other(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.shared = outer.inner
            self.setup()

    other = Other()
    del outer.inner.hook_a
    assert [name for name, _, _ in outer.select_points(None)] == ["inner.hook_b", "hook_c"]
    assert [name for name, _, _ in other.select_points(None)] == ["shared.hook_b"]


@pytest.mark.found("a hook point that was added to a module without children went unnoticed")
def test_a_point_that_is_added_to_a_module_without_children_is_noticed(outer):
    class Leaf(torch.nn.Module):
        pass

    leaf = Leaf()
    outer.leaf = leaf
    outer.run_with_cache(torch.ones(2))
    leaf.hook_new = HookPoint()
    assert "leaf.hook_new" in {name for name, _, _ in outer.select_points(None)}


class Filled(HookedRootModule):
    """Containers that are empty when the model is set up, and a module of torch's own without children."""

    def __init__(self):
        super().__init__()
        self.listed, self.sequence, self.named = torch.nn.ModuleList(), torch.nn.Sequential(), torch.nn.ModuleDict()
        self.linear = torch.nn.Linear(2, 2)
        self.setup()

    def forward(self, x):
        for module in (*self.listed, self.sequence, *self.named.values()):
            x = module(x)
        return self.linear(x)


class Doubles(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hook_out = HookPoint()

    def forward(self, x):
        return self.hook_out(x * 2)


def into_linear(model, module):
    before, model.linear.inner = model.linear.forward, module
    model.linear.forward = lambda x: module(before(x))


FILLINGS = {
    "listed.0.hook_out": lambda model, module: model.listed.append(module),
    "sequence.0.hook_out": lambda model, module: model.sequence.append(module),
    "named.a.hook_out": lambda model, module: model.named.update({"a": module}),
    "linear.inner.hook_out": into_linear,
}


@pytest.mark.found("a layer that was put into a container that was empty at setup() was left out of caches in silence")
@pytest.mark.parametrize("name", FILLINGS)
@pytest.mark.parametrize("way", ["cache", "hooks", "add_hook", "run"])
def test_what_is_filled_in_after_setup_is_noticed(name, way):
    model, x = Filled(), torch.ones(1, 2)
    assert list(model.run_with_cache(x)[1]) == []
    FILLINGS[name](model, Doubles())
    if way == "cache":
        assert list(model.run_with_cache(x)[1]) == [name]
    elif way == "hooks":
        assert not model.run_with_hooks(x, fwd_hooks=[(name, lambda tensor, hook: tensor * 0)]).equal(model(x))
    elif way == "add_hook":
        model.add_hook(name, lambda tensor, hook: None)
        assert list(model.list_hooks()) == [name]
    else:
        model(x)
        assert list(model.hook_dict) == [name]
