"""Comparisons and their joints on single facts, on names of one thing, and on lists of different things."""

from __future__ import annotations

import pytest

from hookframe.policy.language.conditions import All, Comparison, Not, OneOf
from hookframe.policy.language.facts import RecordedFacts


def holds(condition, every=False, **facts):
    return condition.holds(RecordedFacts({key.replace("__", "."): value for key, value in facts.items()}), every)


@pytest.mark.parametrize(
    ("operator", "value", "fitting", "others"),
    [
        ("eq", 1, [1, 1.0], [0, "1", True, None]),
        ("eq", True, [True], [1, False, None]),
        ("eq", "a", ["a"], ["A", "", None]),
        ("ne", 1, [0, True, None], [1, 1.0]),
        ("in", ("a", 1), ["a", 1], ["b", True, None]),
        ("not_in", ("a", 1), ["b", True, None], ["a", 1]),
        ("lt", 2, [1, 1.9, -5], [2, 3, "1", True, None]),
        ("le", 2, [1, 2, 2.0], [2.1, None]),
        ("gt", 0.5, [1, 0.6], [0.5, True, "9", None]),
        ("ge", 0.5, [0.5, 1], [0, None]),
        ("glob", ("a.*", "b"), ["a.x", "b"], ["a", "c", 1, True, None]),
        ("exists", True, [0, False, "", "x"], [None, ()]),
        ("exists", False, [None, ()], [0, False, "", ("x",)]),
    ],
)
def test_each_operator(operator, value, fitting, others):
    condition = Comparison("model.cfg.x", operator, value)
    for fact in fitting:
        assert holds(condition, model__cfg__x=fact) is True, fact
        assert holds(Not(condition), model__cfg__x=fact) is False, fact
    for fact in others:
        assert holds(condition, model__cfg__x=fact) is False, fact
        assert holds(Not(condition), model__cfg__x=fact) is True, fact


@pytest.mark.parametrize(
    ("operator", "value", "fitting", "others"),
    [
        ("eq", "2.9", ["2.9", "2.9.0", "2.9.0+cu128"], ["2.10", "2.9.0rc1", "junk", None]),
        ("lt", "2.10", ["2.9.1", "2.10.0.dev20260101", "2.10rc1+cpu"], ["2.10", "2.10.0+cpu", "2.11", "junk", None]),
        ("ge", "2.9", ["2.9.0+cpu", "2.10"], ["2.9.0rc1", "1.13"]),
        ("ne", "2.9", ["2.10", "junk", None], ["2.9.0"]),
    ],
)
def test_versions_are_compared_as_versions(operator, value, fitting, others):
    condition = Comparison("torch.version", operator, value)
    assert [fact for fact in fitting if not holds(condition, torch__version=fact)] == []
    assert [fact for fact in others if holds(condition, torch__version=fact)] == []


def test_names_of_one_thing_fit_if_one_does():
    eq, ne = (Comparison("request.point", operator, "b") for operator in ("eq", "ne"))
    for every in (False, True):
        assert holds(eq, every, request__point=("a", "b"))
        assert not holds(ne, every, request__point=("a", "b"))
        assert holds(ne, every, request__point=())


@pytest.mark.parametrize(
    ("families", "some_is", "all_are", "some_is_not", "none_is"),
    [
        (("a",), True, True, False, False),
        (("b",), False, False, True, True),
        (("a", "b"), True, False, True, False),
        ((), False, False, True, True),
    ],
)
def test_a_rule_asks_whether_some_of_different_things_fit_and_an_exception_whether_all_do(
    families, some_is, all_are, some_is_not, none_is
):
    for eq, ne in (("eq", "ne"), ("in", "not_in")):
        value = "a" if eq == "eq" else ("a",)
        assert holds(Comparison("family", eq, value), family=families) is some_is
        assert holds(Comparison("family", eq, value), True, family=families) is all_are
        assert holds(Comparison("family", ne, value), family=families) is some_is_not
        assert holds(Comparison("family", ne, value), True, family=families) is none_is
        for every in (False, True):
            negated = holds(Not(Comparison("family", eq, value)), every, family=families)
            assert negated is holds(Comparison("family", ne, value), every, family=families)


def test_joints():
    a, b = Comparison("model.cfg.a", "eq", 1), Comparison("model.cfg.b", "eq", 1)
    facts = {"model__cfg__a": 1, "model__cfg__b": 0}
    assert holds(All(()), **facts)
    assert not holds(OneOf(()), **facts)
    assert holds(OneOf((a, b)), **facts)
    assert not holds(All((a, b)), **facts)
    assert holds(Not(All((a, b))), **facts)
    assert list(All((a, Not(OneOf((b, a))))).paths()) == ["model.cfg.a", "model.cfg.b", "model.cfg.a"]


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (Comparison("family", "in", ("a", "b")), "family in ['a', 'b']"),
        (Comparison("model.training", "eq", True), "model.training eq true"),
        (All(()), "always"),
        (OneOf(()), "never"),
        (All((Comparison("family", "eq", "a"),)), "family eq 'a'"),
    ],
)
def test_conditions_can_be_read(condition, text):
    assert str(condition) == text


def test_joints_are_bracketed_where_they_are_inside_of_others():
    a, b = Comparison("model.cfg.a", "eq", 1), Comparison("model.cfg.b", "gt", 2)
    assert str(All((a, OneOf((a, b)), Not(b)))) == (
        "model.cfg.a eq 1 and (model.cfg.a eq 1 or model.cfg.b gt 2) and not (model.cfg.b gt 2)"
    )
