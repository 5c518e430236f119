"""What is odd about a policy: rules that can never match or never matter, exceptions that do not hold."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.conditions import All, Comparison, Not, OneOf
from hookframe.policy.language.facts import RecordedFacts
from hookframe.policy.language.implication import implies, why_impossible
from hookframe.policy.language.vocabulary import LayerKind
from hookframe.policy.tools.analysis import analyse

TODAY = date(2026, 6, 1)
RULE = '[[rules]]\nid = "{id}"\nreason = "r"\nremedy = "m"\n'
EXCEPTION = """
[[exceptions]]
id = "x"
rule = "{rule}"
points = ["a"]
owner = "jane"
reason = "r"
until = {until}
"""


def layer(text, kind=LayerKind.ORGANISATION):
    return read_layer(("schema = 1\n" + text).encode(), kind, f"{kind.label}.toml")


def notes(*texts, points=None, kinds=(LayerKind.ORGANISATION, LayerKind.PROJECT)):
    policy = merge([layer(text, kind) for text, kind in zip(texts, kinds, strict=False)])
    return [(note.where, note.line, note.message) for note in analyse(policy, TODAY, points)]


def rule(extra="", name="one"):
    return RULE.format(id=name) + extra + "\n"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('when = { "request.layer".gt = 5, "request.layer".lt = 3 }', "cannot both hold"),
        ('when = { "request.layer".ge = 5, "request.layer".lt = 5 }', "cannot both hold"),
        ('direction = "fwd"\nwhen = { request.direction = "bwd" }', "cannot both hold"),
        ('when = { torch.version.lt = "2.9", any = [{ torch.version.ge = "3" }] }', "cannot both hold"),
        ('when = { "model.cfg.x".exists = false, any = [{ model.cfg.x = 1 }] }', "cannot both hold"),
        ('effect = "edit"\nwhen = { not = { request.effect = "edit" } }', "and its opposite cannot both hold"),
        ("when = { any = [{ request.layer = { gt = 5, lt = 3 } }, { request.effect = { eq = 'edit', ne = 'edit' } }] }", "none of its alternatives"),
        ('where = ["add", "run"]\neffect = "edit"', "can never match at 'run': request.effect is not known there"),
        ('where = ["add", "run"]\nwhen = { any = [{ request.effect = "edit" }] }', "can never match at 'run'"),
        ('mode = "off"', "is off at 'add'"),
        ('delegates = ["organisation"]', "which is not weaker than its own layer"),
    ],
)  # fmt: skip
def test_a_rule_that_never_matches_is_reported_with_its_line(extra, message):
    (found,) = notes(rule(extra))
    assert found[:2] == ("one", 2)
    assert message in found[2]


@pytest.mark.parametrize(
    "extra",
    [
        'when = { "request.layer".gt = 3, "request.layer".lt = 5 }',
        'when = { "request.layer".ge = 5, "request.layer".le = 5 }',
        'when = { family = "gpt2", any = [{ family = "llama" }] }',  # a model can be of both
        "when = { model.cfg.x.ne = 1 }",
        'effect = "edit"\nwhen = { not = { request.layer.gt = 3 } }',
        'points = ["**"]',
    ],
)  # fmt: skip
def test_a_rule_that_can_match_is_not(extra):
    assert notes(rule(extra)) == []


def test_a_rule_is_shadowed_by_one_that_matches_whenever_it_does_and_is_as_strong():
    wide, narrow = rule('effect = "edit"', "wide"), rule('effect = "edit"\npoints = ["a.*"]', "narrow")
    assert [(where, message.split(":")[0]) for where, _, message in notes(wide + narrow)] == [
        ("narrow", "never matters at 'add'")
    ]
    assert (
        notes(narrow.replace("reason", 'action = "deny"\nreason') + wide.replace("reason", 'action = "warn"\nreason'))
        == []
    )
    assert notes(wide + rule('points = ["a.*"]', "other")) == []


def test_of_two_equal_rules_the_second_never_matters():
    twice = rule('effect = "edit"', "first") + rule('effect = "edit"', "second")
    assert [where for where, _, _ in notes(twice)] == ["second"]


def test_a_rule_with_exceptions_shadows_nothing():
    text = rule('effect = "edit"', "wide") + rule('effect = "edit"\npoints = ["a.*"]', "narrow")
    assert notes(text + EXCEPTION.format(rule="wide", until="2026-07-01")) == []


def test_globs_that_match_no_point_of_a_model_are_reported():
    found = notes(
        rule('points = ["blocks.*.hook_resid_pst", "hook_embed"]'), points=["hook_embed", "blocks.0.hook_resid_post"]
    )
    assert [message for _, _, message in found] == [
        "'blocks.*.hook_resid_pst' matches none of the 2 points: near are 'blocks.0.hook_resid_post'"
    ]
    inside = rule('when = { not = { any = [{ request.point.glob = "x.*" }, { request.layer = 1 }] } }')
    assert [message for _, _, message in notes(inside, points=["a"])] == ["'x.*' matches none of the 1 points"]


class Named:
    def __init__(self, name, *names):
        self.name, self.names = name, dict.fromkeys(names)

    def matches(self, model):
        return False


FAMILIES = [Named("llama", "hook_embed", "blocks.{i}.hook_resid_post"), Named("gpt2", "blocks.{i}.ln1.hook_scale")]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('families = ["llama", "lama"]', "no family is called 'lama': did you mean 'llama'?"),
        ('when = { not = { family.eq = "gpt" } }', "no family is called 'gpt': did you mean 'gpt2'?"),
        ('devices = ["cuuda"]', "no kind of device is called 'cuuda': did you mean 'cuda'?"),
        (
            'points = ["block.*"]',
            "'block.*' matches no name of a family: did you mean 'blocks' for 'block'? Give --against MODEL if it is the name "
            "of a module",
        ),
        (
            'when = { request.point.in = ["blocks.1.hook_resid_pst"] }',
            "did you mean 'hook_resid_post' for 'hook_resid_pst'?",
        ),
    ],
)
def test_a_rule_about_what_exists_nowhere_is_reported_with_what_is_near(extra, message):
    policy = merge([layer(rule(extra))])
    (found,) = analyse(policy, TODAY, families=FAMILIES)
    assert (found.where, message in found.message) == ("one", True), found.message


@pytest.mark.parametrize(
    "extra",
    [
        'families = ["llama"]\ndevices = ["cuda", "mps"]',
        'points = ["blocks.*.hook_resid_*", "**.hook_scale", "hook_embed", "blocks.21.hook_resid_post"]',
        'points = ["model.layers.*.mlp", "hook_a"]',  # may be names of modules, or of a model's own points
    ],
)
def test_a_rule_about_what_a_family_or_a_model_may_have_is_not(extra):
    assert analyse(merge([layer(rule(extra))]), TODAY, families=FAMILIES) == []


def test_with_a_model_only_points_of_no_family_and_not_of_the_model_are_reported():
    policy = merge([layer(rule('points = ["block.*", "blocks.*.hook_resid_post", "model.h"]'))])
    (found,) = analyse(policy, TODAY, ["block.1"], FAMILIES)
    assert found.message.startswith("'model.h' matches none of the 1 points, and no name of a family")


@pytest.mark.parametrize(
    ("extra", "exception", "message"),
    [
        ("", EXCEPTION.format(rule="none", until="2026-07-01"), "is about rule 'none', and there is none"),
        ("", EXCEPTION.format(rule="one", until="2026-07-01"), "does not let the project layer except from 'one'"),
        ('delegates = ["project"]', EXCEPTION.format(rule="one", until="2026-05-31"), "it ended on 2026-05-31"),
        (
            'delegates = ["project"]\nmax_days = 7',
            EXCEPTION.format(rule="organisation:one", until="2026-06-09"),
            "allows 7 days from today",
        ),
        ('delegates = ["project"]\naction = "warn"', EXCEPTION.format(rule="one", until="2026-07-01"), "changes nothing"),
        (
            'delegates = ["project"]',
            EXCEPTION.format(rule="one", until="2026-07-01")
            + 'direction = "fwd"\nwhen = { request.direction = "bwd" }',
            "can never hold",
        ),
    ],
)  # fmt: skip
def test_an_exception_that_does_not_hold_is_reported(extra, exception, message):
    (found,) = notes(rule(extra), exception)
    assert message in found[2]


def test_an_exception_that_holds_is_not():
    assert notes(rule('delegates = ["project"]'), EXCEPTION.format(rule="one", until="2026-08-30")) == []


# ---- what is said is true: against all worlds of a small universe ----------------------------------------------------

PATHS = {"request.layer": [0, 1, 2, 3], "request.effect": ["read", "edit"], "model.training": [True, False]}
comparisons = st.one_of(
    st.builds(
        Comparison, st.just("request.layer"), st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), st.integers(0, 3)
    ),
    st.builds(
        Comparison,
        st.just("request.layer"),
        st.sampled_from(["in", "not_in"]),
        st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Comparison, st.just("request.effect"), st.sampled_from(["eq", "ne"]), st.sampled_from(["read", "edit"])),
    st.builds(Comparison, st.just("request.effect"), st.just("glob"), st.just(("re*",))),
    st.builds(Comparison, st.sampled_from(list(PATHS)), st.just("exists"), st.booleans()),
    st.builds(Comparison, st.just("model.training"), st.just("eq"), st.booleans()),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(lambda parts: All(tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: OneOf(tuple(parts))),
    ),
    max_leaves=6,
)
WORLDS = [
    RecordedFacts({"request.layer": layer, "request.effect": effect, "model.training": training})
    for layer in [None, *PATHS["request.layer"]]
    for effect in [None, *PATHS["request.effect"]]
    for training in [None, *PATHS["model.training"]]
]


@given(conditions)
def test_what_is_called_impossible_never_holds(condition):
    if why_impossible(condition):
        assert not any(condition.holds(world) for world in WORLDS)


@given(conditions, conditions)
def test_what_is_called_implied_always_holds_as_well(one, other):
    if implies(one, other):
        assert all(other.holds(world) for world in WORLDS if one.holds(world))


@given(conditions, comparisons)
def test_more_conditions_imply_fewer(condition, more):
    assert implies(All((condition, more)), condition)
