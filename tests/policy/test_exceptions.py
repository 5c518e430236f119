"""Exceptions: who may make them, until when, what they cover, and what becomes of hooks when they end."""

from __future__ import annotations

import gc
import logging
import weakref
from datetime import date, timedelta

import pytest

import hookframe
from hookframe import Action, HookDenied, HookObjectionWarning, read_only
from hookframe.policy.in_force.decide import decide
from hookframe.policy.in_force.engine import PolicyEngine
from hookframe.policy.language.facts import RecordedFacts
from hookframe.testing import TinyModel
from tests.policy.conftest import BARE

TODAY = date(2026, 5, 4)
POINT = {"request.point": ("blocks.1.hook_mlp_out",), "family": ("gpt2",)}


def exception(selectors='points = ["blocks.1.**"]', rule="r", until=TODAY, **more):
    lines = {"id": "study", "rule": rule, "owner": "ann", "reason": "a study", **more}
    written = "\n".join(f'{key} = "{value}"' for key, value in lines.items())
    return f"[[exceptions]]\n{written}\nuntil = {until}\n{selectors}\n"


def alone(selectors='points = ["blocks.1.**"]', **options):
    return "schema = 1\n" + exception(selectors, **options)


def match(policy, facts=None, today=TODAY, place="add"):
    (found,) = decide(policy, place, RecordedFacts(facts or POINT), today).matches
    return found


DELEGATED = BARE + 'delegates = ["project"]\nmax_days = 30\n'


def test_an_exception_turns_a_denial_into_a_warning_that_names_it(policy):
    found = match(policy(BARE + exception()))
    assert (found.action, found.exemption.name, str(found.mode)) == (Action.WARN, "project:study", "enforce")
    assert match(policy(BARE + exception()), {"request.point": ("blocks.0.hook_mlp_out",)}).exemption is None


@pytest.mark.parametrize("name", ["r", "machine:r"])
def test_a_weaker_layer_needs_the_stronger_ones_delegation(policy, name):
    assert match(policy(machine=BARE, project=alone(rule=name))).action is Action.DENY
    assert match(policy(machine=DELEGATED, project=alone(rule=name))).action is Action.WARN
    assert match(policy(machine=DELEGATED, user=alone(rule=name))).action is Action.DENY
    assert match(policy(machine=DELEGATED, project=alone(rule="project:r"))).action is Action.DENY


def test_a_stronger_layer_excepts_from_weaker_ones_as_it_likes(policy):
    far = TODAY + timedelta(days=4000)
    assert match(policy(project=BARE, machine=alone(until=far))).action is Action.WARN


@pytest.mark.parametrize(("days", "action"), [(-1, "deny"), (0, "warn"), (30, "warn"), (31, "deny"), (4000, "deny")])
def test_the_end_is_the_last_day_and_bounded_by_the_stronger_layer(policy, days, action):
    made = policy(machine=DELEGATED, project=alone(until=TODAY + timedelta(days)))
    assert match(made).action == action


@pytest.mark.parametrize(("days", "action"), [(-1, "deny"), (0, "warn"), (4000, "warn")])
def test_the_end_within_one_layer_is_that_layers_own_business(policy, days, action):
    assert match(policy(BARE + exception(until=TODAY + timedelta(days)))).action == action


def test_why_an_exception_does_not_hold(policy):
    def reason(**layers):
        made = policy(**layers)
        return made.exemptions[0].why_not(made.rules[0], TODAY)

    assert reason(machine=DELEGATED, project=alone()) is None
    assert reason(project=BARE + exception(rule="q")) == "it is about rule 'q'"
    assert reason(machine=BARE, project=alone()) == "the machine layer does not let the project layer except from 'r'"
    assert reason(project=BARE + exception(until=date(2026, 5, 3))) == "it ended on 2026-05-03"
    assert reason(machine=DELEGATED, project=alone(until=date(2026, 6, 4))) == (
        "it ends on 2026-06-04, and the machine layer allows 30 days from today"
    )


@pytest.mark.parametrize(
    ("families", "action"),
    [(("gpt2",), "warn"), (("gpt2", "llama"), "deny"), (("llama",), "deny"), ((), "deny")],
)
def test_an_exception_for_a_family_asks_that_all_families_are_it(policy, families, action):
    made = policy(BARE + exception('families = ["gpt2"]'))
    assert match(made, {"family": families}).action == action
    not_llama = policy(BARE + exception('when = { not = { family = "llama" } }'))
    expected = "deny" if "llama" in families else "warn"
    assert match(not_llama, {"family": families}).action == expected


@pytest.mark.parametrize(("points", "action"), [(("a.x",), "warn"), (("a.x", "b.x"), "deny"), ((), "deny")])
def test_an_exception_for_points_asks_that_all_points_are_there(policy, points, action):
    text = BARE + 'where = "cache"\n' + exception('points = ["a.*"]')
    assert match(policy(text), {"request.points": points}, place="cache").action == action


@pytest.mark.parametrize(
    ("action", "mode", "expected"),
    [
        ("deny", "enforce", "warn"),
        ("skip", "enforce", "warn"),
        ("deny", "warn", "warn"),
        ("deny", "audit", "audit"),
        ("warn", "enforce", "warn"),
        ("audit", "enforce", "audit"),
    ],
)
def test_only_what_refuses_is_excepted_from(policy, action, mode, expected):
    found = match(policy(BARE + f'action = "{action}"\nmode = "{mode}"\n' + exception()))
    assert found.action == expected
    assert (found.exemption is not None) is (action in ("deny", "skip") and mode == "enforce")


def test_the_first_exception_that_covers_is_named(policy):
    late = exception(until=TODAY + timedelta(days=9), id="late")
    made = policy(BARE + exception(until=date(2026, 5, 3), id="over") + late + exception(id="second"))
    assert match(made).exemption.id == "late"


def test_an_exception_says_nothing_of_other_rules(policy):
    other = BARE.replace('"r"', '"q"').replace("schema = 1\n", "")
    ruling = decide(policy(BARE + other + exception()), "add", RecordedFacts(POINT), TODAY)
    assert [(m.rule.id, str(m.action)) for m in ruling.matches] == [("q", "deny"), ("r", "warn")]
    assert ruling.verdict == "deny"


# ---- on a model -------------------------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.day = TODAY

    def __call__(self):
        return self.day


def engine_of(policy, on_end="report"):
    clock = Clock()
    made = policy(BARE + exception(until=TODAY, on_end=on_end))
    return PolicyEngine(made, clock=clock), clock


def look(tensor, hook):
    return None


def test_a_hook_under_an_exception_is_attached_with_a_warning_and_recorded(policy, model, requests):
    engine, _ = engine_of(policy)
    decisions = []

    class Observer:
        @hookframe.hookimpl
        def hookframe_decision_made(self, decision):
            decisions.append(decision)

    with hookframe.use_plugins(engine, Observer()):
        with pytest.warns(HookObjectionWarning, match="let through until 2026-05-04 by exception project:study of ann"):
            model.add_hook("blocks.1.hook_mlp_out", look)
        with pytest.raises(HookDenied, match="it is so"):
            model.add_hook("blocks.0.hook_mlp_out", look)
    admitted, refused = decisions
    (objection,) = admitted.objections
    assert (objection.exception, objection.action, objection.rule) == ("project:study", "warn", "project:r")
    assert objection.remedy == "do otherwise, before the exception ends"
    assert refused.denials[0].exception is None
    assert len(model.hook_dict["blocks.1.hook_mlp_out"].fwd_hooks) == 1


@pytest.fixture
def excepted(policy, model):
    """A model with hooks under an exception, at the end of its last day; and a way to ask again."""

    def make(on_end, **options):
        engine, clock = engine_of(policy, on_end)
        held = hookframe.use_plugins(engine)
        with held:
            with pytest.warns(HookObjectionWarning):
                model.add_hook("blocks.1.hook_mlp_out", look, **options)
            with pytest.warns(HookObjectionWarning):
                model.add_hook("blocks.1.attn.hook_q", read_only(lambda tensor, hook: None), dir="bwd")

        def ask():
            with held, pytest.raises(HookDenied):
                model.add_hook("blocks.1.hook_mlp_in", look)

        return engine, clock, ask

    return make


def attached(model):
    return [name for name, point in model.hook_dict.items() if point.fwd_hooks or point.bwd_hooks]


def test_on_the_last_day_nothing_happens(excepted, model, caplog):
    engine, _, _ = excepted("remove")
    with hookframe.use_plugins(engine), pytest.warns(HookObjectionWarning):
        model.add_hook("blocks.1.hook_mlp_in", look)
    assert len(attached(model)) == 3
    assert caplog.text == ""


@pytest.mark.parametrize("permanent", [False, True])
def test_hooks_are_removed_at_the_next_question_after_the_end(excepted, model, caplog, permanent):
    _, clock, ask = excepted("remove", is_permanent=permanent)
    clock.day += timedelta(days=1)
    with caplog.at_level(logging.WARNING, "hookframe.policy"):
        ask()
    assert attached(model) == []
    assert sorted(record.getMessage() for record in caplog.records) == [
        "removed the bwd hook excepted.<locals>.make.<locals>.<lambda> at 'blocks.1.attn.hook_q': exception "
        "project:study, which let it through, has ended",
        "removed the fwd hook look at 'blocks.1.hook_mlp_out': exception project:study, which let it through, has ended",
    ]


def test_hooks_are_reported_once_after_the_end_and_stay(excepted, model, caplog):
    _, clock, ask = excepted("report")
    clock.day += timedelta(days=1)
    with caplog.at_level(logging.WARNING, "hookframe.policy"):
        ask()
        ask()
    assert len(attached(model)) == 2
    assert len(caplog.records) == 2
    assert "is still attached, and exception project:study, which let it through, has ended: remove it, or ask ann" in (
        caplog.text
    )


def test_hooks_that_are_gone_or_of_others_are_left_alone(excepted, model, caplog):
    _, clock, ask = excepted("remove")
    model.reset_hooks(including_permanent=True)
    model.blocks[1].hook_mlp_out.add_hook(print)
    clock.day += timedelta(days=1)
    ask()
    assert attached(model) == ["blocks.1.hook_mlp_out"]
    assert caplog.records == []


def test_the_engine_keeps_no_model_alive(policy):
    engine, clock = engine_of(policy)
    model, other = TinyModel(), TinyModel()
    with hookframe.use_plugins(engine), pytest.warns(HookObjectionWarning):
        model.add_hook("blocks.1.hook_mlp_out", look)
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None
    clock.day += timedelta(days=1)
    with hookframe.use_plugins(engine), pytest.raises(HookDenied):
        other.add_hook("hook_embed", look)
    assert engine._exempted._admitted == {}


def test_a_name_that_a_user_gave_to_a_point_without_a_model_is_not_excepted(policy):
    engine, _ = engine_of(policy)
    point = hookframe.HookPoint()
    point.name = "blocks.1.x"
    with hookframe.use_plugins(engine), pytest.raises(hookframe.HookDenied, match="do otherwise"):
        point.add_hook(look)
    assert point.fwd_hooks == []


def test_looking_ends_nothing(excepted, model, caplog):
    engine, clock, ask = excepted("remove")
    clock.day += timedelta(days=1)
    with hookframe.use_plugins(engine):
        report = hookframe.scan(model)
    assert len(attached(model)) == 2
    assert {hook.place for hook in report.hooks} == {"blocks.1.hook_mlp_out", "blocks.1.attn.hook_q"}
    ask()
    assert attached(model) == []


def test_a_rule_can_have_hooks_removed_whatever_the_exception_says(policy, model, caplog):
    clock = Clock()
    engine = PolicyEngine(policy(BARE + 'on_end = "remove"\n' + exception(until=TODAY, on_end="report")), clock=clock)
    held = hookframe.use_plugins(engine)
    with held, pytest.warns(HookObjectionWarning):
        model.add_hook("blocks.1.hook_mlp_out", look)
    clock.day += timedelta(days=1)
    with held, pytest.raises(HookDenied):
        model.add_hook("blocks.1.hook_mlp_in", look)
    assert attached(model) == []
    assert "removed the fwd hook look" in caplog.text
