"""A hook point has all the names that its models have for it, and hooks are asked about again when it gets another."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn, ones

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, Objection, hookimpl


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.hook_a, self.hook_b = HookPoint(), HookPoint()

    def forward(self, x):
        return self.hook_b(self.hook_a(x))


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.hook_c = HookPoint()
        self.setup()

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.hook_c(x)


class Around(HookedRootModule):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.setup()

    def forward(self, x):
        return self.inner(x)


A = "blocks.1.hook_a"


class Rule:
    """Refuses edits at the places that it is about, and keeps the requests."""

    def __init__(self, glob=A):
        self.glob = glob
        self.seen = []

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        self.seen += requests
        hit = [request for request in requests if request.matches(self.glob) and request.effect == "edit"]
        return [Objection.deny(request, rule="here", message="no edit", remedy="read") for request in hit]


@pytest.fixture
def rule(manager):
    rule = Rule()
    manager.register(rule)
    return rule


def edit(tensor, hook):
    return tensor * 2


@hookframe.read_only
def look(tensor, hook):
    return None


def with_an_attribute(model):
    model.probe = model.blocks[1].hook_a
    return model, "probe"


def with_an_entry_in_hook_dict(model):
    model.hook_dict["probe"] = model.blocks[1].hook_a
    return model, "probe"


def with_a_second_root(model):
    return Around(model), f"inner.{A}"


def with_a_part_as_a_second_root(model):
    return Around(model.blocks[1]), "inner.hook_a"


def with_another_name(model):
    model.blocks[1].hook_a.name = "probe"
    return model, A


@pytest.mark.parametrize(
    "way",
    [
        with_an_attribute,
        with_an_entry_in_hook_dict,
        with_a_second_root,
        with_a_part_as_a_second_root,
        with_another_name,
    ],
)
def test_a_rule_holds_whatever_the_point_is_called(rule, way):
    model = Model()
    root, name = way(model)
    with pytest.raises(HookDenied, match="no edit"):
        root.add_hook(name, edit)
    with pytest.raises(HookDenied, match="no edit"):
        model.blocks[1].hook_a.add_hook(edit)
    with pytest.raises(HookDenied, match="no edit"), root.hooks(fwd_hooks=[(name, edit)]):
        pass
    root.add_hook(name, look)
    assert A in rule.seen[-1].names
    assert rule.seen[-1].layer == 1


def test_names_that_a_user_gave_are_not_among_the_names(rule):
    model = Model()
    model.hook_dict["blocks.0.hook_mine"] = model.hook_c
    model.add_hook("blocks.0.hook_mine", look)
    model.blocks[0].hook_b.add_hook(look, alias_names=["hook_alias"])
    model.check_and_add_hook(model.hook_c, "hook_given", look)
    model.hook_c.name = "hook_renamed"
    model.hook_c.add_hook(look)
    assert [(request.names, request.aliases) for request in rule.seen] == [
        (("hook_c",), ("blocks.0.hook_mine",)),
        (("blocks.0.hook_b",), ("hook_alias",)),
        (("hook_c",), ("hook_given",)),
        (("hook_c",), ("hook_renamed",)),
    ]
    assert not any(request.is_at("hook_mine", "hook_alias", "hook_given", "hook_renamed") for request in rule.seen)
    assert rule.seen[1].matches("hook_alias")


def test_the_names_under_every_root_are_there_and_the_one_that_was_asked_for_comes_first(rule):
    model = Model()
    around = Around(model)
    around.add_hook("inner.hook_c", look)
    model.add_hook("hook_c", look)
    assert [request.names for request in rule.seen] == [("inner.hook_c", "hook_c"), ("hook_c", "inner.hook_c")]
    del around
    model.add_hook("hook_c", look)
    assert rule.seen[-1].names == ("hook_c",)


def test_a_point_that_no_model_has_named_cannot_be_told(rule):
    HookPoint().add_hook(edit)
    assert (rule.seen[-1].names, rule.seen[-1].certain) == ((), False)


def put_into(model, point):
    model.blocks[1].hook_a = point


@pytest.mark.parametrize("known", ["to nobody", "in another model"])
@pytest.mark.parametrize("verb", ["setup", "refresh", "a run"])
def test_a_hook_is_asked_about_again_where_its_point_is_put(rule, known, verb):
    other = Model()
    point = HookPoint() if known == "to nobody" else other.hook_c
    point.add_hook(edit)
    model = Model()
    put_into(model, point)
    with pytest.raises(HookDenied, match="no edit"):
        {"setup": model.setup, "refresh": model.refresh, "a run": lambda: model(ones(1))}[verb]()
    assert not point.has_hooks()
    assert model(ones(1)) == 1


def test_a_hook_is_asked_about_again_when_its_point_gets_another_root_or_name(manager):
    model, later = Model(), Rule("inner.**")
    manager.register(later)
    model.add_hook(A, edit)
    with pytest.raises(HookDenied, match="no edit"):
        Around(model)
    assert not model.list_hooks()
    later.glob = "probe"
    model.add_hook(A, edit)
    model.probe = model.blocks[1].hook_a
    with pytest.raises(HookDenied, match="no edit"):
        model.setup()
    assert not model.list_hooks()


def test_a_repeated_operation_is_asked_about_under_a_name_that_came_in_the_meantime(manager):
    model, rule = Model(), Rule("inner.**")
    manager.register(rule)
    for _ in range(2):
        model.run_with_hooks(ones(1), fwd_hooks=[(A, edit)])
    around = Around(model)
    with pytest.raises(HookDenied, match="no edit"):
        model.run_with_hooks(ones(1), fwd_hooks=[(A, edit)])
    assert around(ones(1)) == 1


def test_a_request_says_whether_the_hook_stays(rule):
    model = Model()
    model.add_hook("hook_c", look)
    model.add_caching_hooks(names_filter="hook_c")
    model.run_with_hooks(ones(1), fwd_hooks=[("hook_c", look)], reset_hooks_end=False)
    for _ in range(2):
        model.run_with_hooks(ones(1), fwd_hooks=[("hook_c", look)])
        model.run_with_cache(ones(1), names_filter="hook_c")
    assert [request.lasting for request in rule.seen] == [True] * 3 + [False] * 4


class Stacked(HookedRootModule):
    def __init__(self, *lists):
        super().__init__()
        inner = HookPoint()
        for make in lists:
            inner = make(inner)
        self.first = inner
        self.setup()


@pytest.mark.parametrize(
    ("lists", "layer"),
    [
        ([], None),
        ([lambda inner: nn.ModuleList([nn.Identity(), inner])], 1),
        ([lambda inner: nn.Sequential(nn.Identity(), nn.Identity(), inner)], 2),
        ([lambda inner: nn.Sequential(inner)], None),
        ([lambda inner: nn.ModuleList([nn.Identity(), inner]), lambda inner: nn.Sequential(inner, nn.ReLU())], 1),
        ([lambda inner: nn.ModuleList([inner]), lambda inner: nn.ModuleList([nn.Identity(), inner])], None),
    ],
    ids=["no list", "list", "sequence", "a wrapper", "a list in a wrapper", "two lists"],
)
def test_the_layer_is_the_number_in_the_one_list_of_layers_on_the_way(rule, lists, layer):
    model = Stacked(*lists)
    (name,) = model.hook_dict
    model.add_hook(name, look)
    assert rule.seen[-1].layer == layer


class Stacks:
    """Knows a family in which what one block passes on is what the next one takes."""

    @hookimpl
    def hookframe_model_families(self):
        equal = (("blocks.{i}.hook_b", "blocks.{next}.hook_a"), ("blocks.{last}.hook_b", "hook_c"))
        return [hookframe.Family(name="stack", model_types=("stack",), anchor="blocks", equal=equal)]


def test_points_of_a_models_own_are_equal_places_as_its_family_says():
    model, rule = Model(), Rule("blocks.*.hook_b")
    model.config = SimpleNamespace(model_type="stack")
    with hookframe.use_plugins(Stacks(), rule):
        for point in (A, "hook_c"):
            with pytest.raises(HookDenied):
                model.add_hook(point, lambda tensor, hook: tensor)
        model.add_hook("blocks.0.hook_a", lambda tensor, hook: tensor)
    assert [request.equal for request in rule.seen] == [("blocks.0.hook_b",), ("blocks.1.hook_b",), ()]
    with hookframe.use_plugins(rule):  # nobody says so here
        model.add_hook(A, lambda tensor, hook: tensor)
