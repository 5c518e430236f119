"""The policy as a plugin on a real model: every place it is asked, and what a repeated batch reuses."""

from __future__ import annotations

import warnings
from datetime import date, timedelta

import pytest

import hookframe
from hookframe import HookDenied, HookObjectionWarning, hookimpl
from hookframe.admission.request import LazyRequests
from hookframe.policy.in_force import decide as deciding
from hookframe.policy.in_force import engine as engines
from hookframe.policy.in_force.engine import PolicyEngine, today
from hookframe.policy.in_force.refusals import Refusal
from hookframe.testing import EventRecorder, TinyModel
from tests.policy.conftest import BARE


def look(tensor, hook):
    return None


def at(place, condition="", action="deny"):
    return BARE + f'where = "{place}"\naction = "{action}"\n{condition}'


PLACES = {
    "add": (
        lambda model: model.add_hook("blocks.1.hook_mlp_out", look),
        lambda model: model.add_hook("blocks.0.hook_mlp_out", look),
        'points = ["blocks.1.**"]',
    ),
    "cache": (
        lambda model: model.run_with_cache(model.tokens, incl_bwd=False),
        lambda model: model.run_with_cache(model.tokens, names_filter="hook_embed"),
        'when = { "request.points_count" = { gt = 1 } }',
    ),
    "device": (
        lambda model: model.to("meta"),
        lambda model: model.to("cpu"),
        'devices = ["meta"]\nwhen = { request.purpose = "model" }',
    ),
    "reset": (
        lambda model: (model.add_perma_hook("hook_embed", look), model.reset_hooks(including_permanent=True)),
        lambda model: (model.add_hook("hook_embed", look), model.reset_hooks(including_permanent=True)),
        'points = ["hook_embed"]\nwhen = { request.permanent_hooks = { ge = 1 } }',
    ),
    "run": (
        lambda model: model.run_with_hooks(model.tokens, fwd_hooks=[("blocks.0.hook_mlp_in", look)]),
        lambda model: model.run_with_hooks(model.tokens, fwd_hooks=[("blocks.0.hook_mlp_out", look)]),
        'points = ["**.hook_mlp_in"]',
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_rule_refuses_where_it_is_asked_and_nothing_else(policy, model, place):
    refused, admitted, condition = PLACES[place]
    with hookframe.use_plugins(PolicyEngine(policy(machine=at(place, condition)))):
        with pytest.raises(HookDenied) as refusal:
            refused(model)
        model.remove_all_hook_fns(including_permanent=False)
        admitted(TinyModel())
    (objection,) = refusal.value.decision.denials
    assert (objection.rule, objection.origin) == ("machine:r", "machine policy, machine.toml:2")
    assert (objection.message, objection.remedy) == ("it is so", "do otherwise")
    assert "machine policy, machine.toml:2" in str(refusal.value)


@pytest.mark.parametrize("place", PLACES)
def test_modes_and_actions_that_refuse_nothing(policy, place):
    refused, _, condition = PLACES[place]
    for text, warned in [
        (at(place, condition, "warn"), True),
        (at(place, condition, "audit"), False),
        (at(place, condition) + '\nmode = "warn"', True),
        (at(place, condition) + '\nmode = "audit"', False),
        (at(place, condition) + '\nmode = "off"', False),
        (at(place, condition) + f'\n[modes]\n{place} = "audit"', False),
    ]:
        recorder = EventRecorder()
        with (
            hookframe.use_plugins(PolicyEngine(policy(text)), recorder),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            refused(TinyModel())
        assert any(w.category is HookObjectionWarning for w in caught) is warned, text
        made = [event for spec, event in recorder.events if spec == "decision_made"]
        rules = [objection.rule for decision in made for objection in decision.objections]
        assert rules == ([] if "off" in text else ["project:r"]), text


def test_a_skip_leaves_out_what_a_filter_swept_up_and_refuses_what_was_named(policy, model):
    text = at("add", 'points = ["**.hook_result"]\nwhen = { model.cfg.use_attn_result = false }', "skip")
    with hookframe.use_plugins(PolicyEngine(policy(text))):
        _, cache = model.run_with_cache(model.tokens)
        assert "blocks.0.attn.hook_result" not in cache
        with pytest.raises(HookDenied):
            model.add_hook("blocks.0.attn.hook_result", look)
        model.cfg.use_attn_result = True
        model.add_hook("blocks.0.attn.hook_result", look)
        _, cache = model.run_with_cache(model.tokens)
    assert "blocks.0.attn.hook_result" in cache


def test_only_the_places_with_rules_are_implemented(policy):
    engine = PolicyEngine(policy(at("device") + '[[rules]]\nid = "off"\nmode = "off"\nreason = "r"\nremedy = "m"'))
    manager = hookframe.PluginManager(engine)
    wanted = [spec for spec in engines._SPECS.values() if manager.wants(spec)]
    assert wanted == ["check_device"]
    everything = hookframe.PluginManager(
        PolicyEngine(policy(BARE), refusals=[Refusal(rule="x", message="x", remedy="x")])
    )
    assert all(everything.wants(spec) for spec in engines._SPECS.values())


@pytest.mark.parametrize("true", [True, 1, "yes"])
def test_a_flag_that_was_passed_as_a_number_is_a_flag(policy, model, true):
    text = BARE + "permanent = true"
    with hookframe.use_plugins(PolicyEngine(policy(text))), pytest.raises(HookDenied):
        model.add_hook("hook_embed", look, is_permanent=true)
    text = BARE + 'where = "cache"\nwhen = { request.gradients = true }'
    with hookframe.use_plugins(PolicyEngine(policy(text))), pytest.raises(HookDenied):
        model.get_caching_hooks(incl_bwd=true)
        model.add_caching_hooks(incl_bwd=true)


def test_refusals_come_before_rules_and_once_for_a_batch(policy, model, requests):
    refusal = Refusal(rule="broken", message="m", remedy="r", origin="here")
    manager = hookframe.PluginManager(PolicyEngine(policy(BARE), refusals=[refusal]))
    (objection,) = manager.review_hooks(requests.batch("a", "b"), model).objections
    assert (objection.rule, objection.origin) == ("broken", "here")
    (objection,) = manager.review_device(requests.device(), model).objections
    assert objection.rule == "broken"


@pytest.mark.fault("a plugin that raises, hangs, ends the process or answers nonsense")
def test_families_come_from_plugins_and_one_that_fails_to_tell_refuses(policy, model):
    class Family:
        name = "tiny"

        def matches(self, model):
            if model.training:
                raise RuntimeError("cannot tell")
            return True

    class Plugin:
        @hookimpl
        def hookframe_model_families(self):
            return [Family()]

    manager = hookframe.PluginManager(Plugin())
    manager.register(PolicyEngine(policy(at("add", 'families = ["tiny"]')), families=manager.families))
    with hookframe.use_plugins(manager):
        with pytest.raises(HookDenied, match="cannot tell"):
            model.add_hook("hook_embed", look)
        model.eval()
        with pytest.raises(HookDenied, match="it is so"):
            model.add_hook("hook_embed", look)


def test_today_is_a_day_of_utc():
    assert abs((today() - date.today()).days) <= 1  # noqa: DTZ011  # the local day, on purpose


# ---- a repeated batch --------------------------------------------------------------------------------


class Counting:
    """Counts the decisions that an engine makes anew."""

    def __init__(self, monkeypatch):
        self.count = 0
        monkeypatch.setattr(engines, "decide", self)

    def __call__(self, *args):
        self.count += 1
        return deciding.decide(*args)


class Asking:
    """An engine that is asked about the same batch again and again."""

    def __init__(self, engine, requests, model, counting):
        self.engine, self.model, self.counting = engine, model, counting
        self.batch = LazyRequests(lambda: requests, len(requests))

    def __call__(self, engine=None):
        """The rules that object, and how many requests were decided anew."""
        before = self.counting.count
        found = (engine or self.engine).check_batch(self.batch, self.model)
        return [str(objection.action) for objection in found], self.counting.count - before


@pytest.fixture
def asking(policy, requests, model, monkeypatch):
    def make(text, **options):
        engine = PolicyEngine(policy(text), **options)
        return Asking(engine, requests.batch("hook_embed", "blocks.0.hook_mlp_out"), model, Counting(monkeypatch))

    return make


def test_a_repeated_batch_reuses_its_objections(asking):
    ask = asking(BARE + "when = { model.training = true }")
    assert ask() == (["deny", "deny"], 2)
    first = ask.engine.check_batch(ask.batch, ask.model)
    first.clear()  # what is handed out is the caller's
    assert ask() == (["deny", "deny"], 0)


def test_a_hook_that_was_decided_is_known_again_in_another_batch(asking, requests):
    ask = asking(BARE)
    assert ask() == (["deny", "deny"], 2)
    ask.batch = requests.batch(
        "blocks.9.hook_new", *(request.point for request in ask.batch)
    )  # other places in the batch
    assert ask() == (["deny"] * 3, 1)
    assert ask() == (["deny"] * 3, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"direction": "bwd"},
        {"effect": "read"},
        {"route": "torch"},
        {"exact": False},
        {"permanent": True},
        {"prepend": True},
        {"level": 3},
        {"aliases": ("other",)},
        {"caches": True},
        {"function": print},
    ],
    ids=str,
)
def test_a_hook_that_differs_in_anything_is_decided_anew(change, asking, requests):
    ask = asking(BARE)
    ask.batch = requests.batch("hook_embed")
    assert [ask()[1], ask()[1]] == [1, 0]
    ask.batch = requests.batch("hook_embed", **change)
    assert ask()[1] == 1


def test_a_changed_flag_of_the_model_is_decided_anew(asking, model):
    ask = asking(BARE + "when = { model.cfg.use_attn_result = true }")
    assert ask() == ([], 2)
    model.cfg.use_attn_result = True
    assert ask() == (["deny", "deny"], 2)
    model.cfg.use_attn_result = 1  # equals True, and is no flag
    assert ask() == ([], 2)
    model.cfg.use_attn_result = "true"
    assert ask() == ([], 2)
    model.cfg.n_layers = 7  # no rule looks at it
    assert ask() == ([], 0)


def test_another_training_mode_is_decided_anew(asking, model):
    ask = asking(BARE + "when = { model.training = true }")
    assert ask() == (["deny", "deny"], 2)
    model.eval()
    assert ask() == ([], 2)
    assert ask() == ([], 0)


def test_a_changed_environment_is_decided_anew(asking, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    ask = asking(BARE + "when = { env.CI.exists = true }\n[facts]\nenv = ['CI']")
    assert ask() == ([], 2)
    monkeypatch.setenv("CI", "1")
    assert ask() == (["deny", "deny"], 2)
    monkeypatch.setenv("CI", "2")
    assert ask()[1] == 2
    assert ask()[1] == 0


def test_another_family_is_decided_anew(asking):
    class Family:
        name = "tiny"
        answer = False

        def matches(self, model):
            return self.answer

    ask = asking(BARE + 'families = ["tiny"]', families=lambda: [Family()])
    assert ask() == ([], 2)
    Family.answer = True
    assert ask() == (["deny", "deny"], 2)
    assert ask()[1] == 0


EXCEPTION = """
[[exceptions]]
id = "study"
rule = "r"
points = ["hook_embed"]
owner = "ann"
reason = "a study"
until = 2026-05-04
"""


def test_a_new_day_is_decided_anew_where_there_are_exceptions(asking):
    days = [date(2026, 5, 4)]
    ask = asking(BARE + EXCEPTION, clock=lambda: days[0])
    assert ask() == (["warn", "deny"], 2)
    assert ask() == (["warn", "deny"], 0)
    days[0] += timedelta(days=1)
    assert ask() == (["deny", "deny"], 2)
    plain = asking(BARE, clock=lambda: days[0])
    plain()
    days[0] += timedelta(days=1)
    assert plain()[1] == 0


def test_another_policy_decides_for_itself(asking, policy):
    ask = asking(BARE)
    other = PolicyEngine(policy(BARE + 'action = "audit"'))
    assert ask() == (["deny", "deny"], 2)
    assert ask(other) == (["audit", "audit"], 2)
    assert ask() == (["deny", "deny"], 0)
    assert ask(other) == (["audit", "audit"], 0)


def test_what_an_engine_asks(policy):
    refusal = Refusal(rule="x", message="x", remedy="x")
    engine = PolicyEngine(policy(machine=BARE, user=BARE), refusals=[refusal])
    assert engine.asks(policy(machine=BARE), [])
    assert engine.asks(policy(machine=BARE), [refusal])
    assert not engine.asks(policy(machine=BARE + "# x"), [])
    assert not engine.asks(policy(organisation=BARE), [])
    assert not PolicyEngine(policy(machine=BARE)).asks(policy(machine=BARE), [refusal])


def test_a_recording_engine_hands_the_facts_of_each_decision_to_a_journal(policy, requests, model):
    model.cfg.secret = object()
    engine = PolicyEngine(policy(BARE + 'families = ["gpt2"]'), recorded=True)
    manager = hookframe.PluginManager(engine)
    assert all(manager.wants(spec) for spec in engines._SPECS.values())
    batch = LazyRequests(lambda: requests.batch("hook_embed"), 1)
    facts = engine.facts_of(manager.review_hooks(batch, model))
    assert (facts["model.class"], facts["model.cfg.n_layers"], facts["family"]) == ("TinyModel", 2, ())
    assert "model.cfg.secret" not in facts
    first = manager.review_device(requests.device(), model)
    assert engine.facts_of(first)["device.type"] == "cpu"
    manager.review_run(requests.run(), model)
    assert engine.facts_of(first) is None  # it is no longer the last one
