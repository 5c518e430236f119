"""What follows from a condition is certain: compared with every small world."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from hookframe.policy.language.conditions import All, Comparison, Not, OneOf
from hookframe.policy.language.facts import RecordedFacts
from hookframe.policy.language.implication import implies, why_impossible

DOMAINS = {
    "model.cfg.n": [None, 0, 1, 1.5, 2, True, False, "a", "b"],
    "request.layer": [None, 0, 1, 2, 3],
    "family": [(), ("a",), ("b",), ("a", "b"), ("c",), ("a", "c")],
    "request.point": [(), ("a",), ("b",), ("a", "b"), ("a.b",)],
    "torch.version": [None, "2.8", "2.9", "2.9.0+cpu", "2.9.1", "2.10"],
    "model.training": [None, True, False],
}
VALUES = {
    "model.cfg.n": [0, 1, 2, True, "a"],
    "request.layer": [0, 1, 2, 1.5],
    "family": ["a", "b", "d"],
    "request.point": ["a", "b"],
    "torch.version": ["2.9", "2.9.0", "2.10"],
    "model.training": [True, False],
}
GLOBS = ["a", "*", "**", "a.*", "?"]


@st.composite
def comparisons(draw, path=None):
    path = path or draw(st.sampled_from(sorted(DOMAINS)))
    kinds = ["eq", "ne", "exists"]
    if path in ("model.cfg.n", "family", "request.point", "request.layer"):
        kinds += ["in", "not_in"]
    if path in ("model.cfg.n", "request.layer", "torch.version"):
        kinds += ["lt", "le", "gt", "ge"]
    if path in ("model.cfg.n", "family", "request.point"):
        kinds += ["glob"]
    operator = draw(st.sampled_from(kinds))
    if operator == "exists":
        return Comparison(path, operator, draw(st.booleans()))
    if operator in ("in", "not_in", "glob"):
        values = GLOBS if operator == "glob" else VALUES[path]
        return Comparison(path, operator, tuple(draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))))
    ordered = operator not in ("eq", "ne") and path != "torch.version"
    values = [v for v in VALUES[path] if not ordered or not isinstance(v, (str, bool))]
    return Comparison(path, operator, draw(st.sampled_from(values)))


@st.composite
def conditions(draw, path=None, depth=2):
    if depth == 0:
        return draw(comparisons(path))
    inner = conditions(path, depth - 1)
    several = st.lists(inner, min_size=1, max_size=2).map(tuple)
    return draw(st.one_of(comparisons(path), inner.map(Not), several.map(All), several.map(OneOf)))


def worlds(*parts):
    paths = sorted({path for part in parts for path in part.paths()})
    for values in itertools.product(*(DOMAINS[path] for path in paths)):
        yield RecordedFacts(dict(zip(paths, values, strict=True)))


pairs = st.sampled_from(sorted(DOMAINS)).flatmap(lambda path: st.tuples(conditions(path), conditions(path)))


@settings(max_examples=250, deadline=None)
@given(pairs | st.tuples(conditions(depth=1), conditions(depth=1)))
def test_what_is_implied_holds_in_every_world(pair):
    one, other = pair
    if implies(one, other):
        for facts in worlds(one, other):
            assert other.holds(facts) or not one.holds(facts), facts.values


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(sorted(DOMAINS)).flatmap(conditions))
def test_what_is_impossible_holds_in_no_world(condition):
    if why_impossible(condition):
        for facts in worlds(condition):
            assert not condition.holds(facts), facts.values


def test_something_is_implied_and_something_impossible():
    a, b = Comparison("request.layer", "gt", 3), Comparison("request.layer", "gt", 1)
    assert implies(a, b)
    assert not implies(b, a)
    assert why_impossible(All((a, Not(a))))
    assert why_impossible(All((Comparison("request.layer", "lt", 1), b)))


def test_some_family_may_fit_and_another_not():
    fits = Comparison("family", "eq", "a")
    assert why_impossible(All((fits, Not(fits)))) is None
    assert All((fits, Not(fits))).holds(RecordedFacts({"family": ("a", "b")}))


def test_a_flag_and_the_number_that_equals_it_are_different_conditions():
    one, true = Comparison("model.cfg.n", "eq", 1), Comparison("model.cfg.n", "eq", True)
    assert one == Comparison("model.cfg.n", "eq", 1.0) != true
    assert one != "model.cfg.n eq 1"
    assert len({one, true, Comparison("model.cfg.n", "eq", (1,))}) == 3
    assert not implies(Not(Not(one)), Not(Not(true)))
    assert why_impossible(All((one, Not(true)))) is None
