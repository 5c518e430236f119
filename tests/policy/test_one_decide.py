"""One decision: admission, can, explain, policy test, scan and replay say the same of generated policies, facts and days."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hookframe
from hookframe import FunctionInfo, HookRequest, PluginManager
from hookframe.admission.decision import Decision
from hookframe.audit.entries import DecisionEntry, RecordedFunction
from hookframe.host.installed.record import PluginRecord, PluginState
from hookframe.inspecting.planned import planned_requests
from hookframe.inspecting.report import Trait
from hookframe.policy.in_force.engine import PolicyEngine
from hookframe.policy.in_force.governing import NAME
from hookframe.policy.language.facts import ModelFacts, RecordedFacts, RequestFacts
from hookframe.policy.tools.asking import ask_facts, ask_model
from hookframe.policy.tools.cases import Case, run_cases
from hookframe.policy.tools.replay import replay
from hookframe.policy.tools.tracing import explain
from hookframe.testing import RequestBuilder, TinyModel
from tests.policy.documents import TODAY, merged, stacks

ORDER = ["deny", "skip", "warn", "audit", "allow"]


class Family:
    def __init__(self, name, matches):
        self.name = name
        self.matches = lambda model: matches


def look(tensor, hook):
    return None


def asking(policy, **options):
    manager = PluginManager()
    record = PluginRecord(name=NAME, state=PluginState.LOADED, reason="the policy in force")
    manager.register(PolicyEngine(policy, **options), record)
    return manager


def strongest(objections):
    return min((str(objection.action) for objection in objections), key=ORDER.index, default="allow")


def entry_of(decision, facts, day):
    """The decision as a journal would give it back: through JSON, its functions without file and line."""
    kept = json.loads(json.dumps(facts))
    clock = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    return DecisionEntry(
        segment="s",
        number=2,
        place=3,
        time=clock,
        clock=clock,
        decision=decision,
        facts={name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()},
    )


def recorded(request):
    function = request.function
    info = RecordedFunction(
        module=function.module,
        qualname=function.qualname,
        digest=function.digest,
        installed=function.distribution,
    )
    return {"function": info}


def test_everything_that_asks_a_policy_gets_the_same_answer(monkeypatch):
    monkeypatch.setenv("CI", "true")
    model = TinyModel(n_layers=1)
    points = list(model.hook_dict)
    asked = refused = 0

    @settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        stack=stacks(),
        days=st.integers(0, 60),
        effect=st.sampled_from(["read", "edit"]),
        direction=st.sampled_from(["fwd", "bwd"]),
        permanent=st.booleans(),
        gpt2=st.booleans(),
        number=st.sampled_from([1, 2.0, 12]),
    )
    def agree(stack, days, effect, direction, permanent, gpt2, number):
        nonlocal asked, refused
        policy, day = merged(stack), TODAY + timedelta(days)
        model.cfg = SimpleNamespace(n=number, flag=gpt2, act="gelu")
        families = [Family("gpt2", gpt2), Family("llama", True)]
        manager = asking(policy, families=lambda: families, clock=lambda: day)
        template = HookRequest(
            index=0,
            point=None,
            function=FunctionInfo.of(look),
            direction=direction,
            effect=effect,
            permanent=permanent,
            route="add_hook",
        )
        can = {
            answer.point: answer.verdict
            for answer in ask_model(manager, model, planned_requests(model, points, template))
        }
        about = ModelFacts(model, families, policy.environment)
        requests = planned_requests(model, points, template)
        decision = manager.consider(requests, model)
        for request in requests:
            objections = [o for o in decision.objections if o.request == request]
            verdict = strongest(objections)
            facts = {**about.recorded(policy.paths_at("add")), **RequestFacts(request, about).written()}
            case = Case(
                name="c", file="f", line=1, place="add", facts=facts, today=day, expect=verdict,
                rules=tuple(o.rule for o in objections),
            )  # fmt: skip
            assert can[request.point] == verdict
            assert ask_facts(policy, [request.point], facts, day)[0].verdict == verdict
            assert explain(policy, "add", RecordedFacts(facts), day).ruling.verdict == verdict
            assert run_cases(policy, [case], day)[0].wrong == ()
            asked += 1
            refused += verdict in ("deny", "skip")
        back = [
            HookRequest(**{f: getattr(r, f) for f in r.__slots__} | recorded(r)) for r in requests
        ]  # fmt: skip
        again = Decision(tuple(back), tuple(_moved(o, back) for o in decision.objections))
        (replayed,) = replay([entry_of(again, about.recorded(policy.paths_at("add")), day)], policy)
        assert replayed.changes == ()

    agree()
    assert asked >= 1000
    assert refused > 100


def _moved(objection, requests):
    return replace(objection, request=requests[objection.request.index])


def test_a_scan_says_the_same_of_hooks_that_are_attached():
    found = 0

    @settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(stack=stacks(), days=st.integers(0, 60))
    def agree(stack, days):
        nonlocal found
        policy, day = merged(stack), TODAY + timedelta(days)
        model = TinyModel(n_layers=1)
        model.cfg = SimpleNamespace(n=1, flag=True, act="gelu")
        for point in list(model.hook_dict)[::4]:
            model.add_hook(point, look)
        manager = asking(policy, clock=lambda: day)
        with hookframe.use_plugins(manager):
            report = hookframe.scan(model)
        expired = {hook.place for hook in report.hooks if any(r.trait is Trait.EXPIRED for r in hook.remarks)}
        request = HookRequest(index=0, point=None, function=FunctionInfo.of(look), route="add_hook", lasting=True)
        answers = ask_model(manager, model, planned_requests(model, [hook.place for hook in report.hooks], request))
        assert expired == {answer.point for answer in answers if answer.verdict in ("deny", "skip")}
        found += len(expired)

    agree()
    assert found > 10


@pytest.mark.parametrize("place", ["cache", "device", "reset", "run"])
def test_the_other_places_agree_as_well(place):
    build = RequestBuilder()
    make = {
        "cache": lambda: build.cache("hook_embed", "blocks.0.hook_q"),
        "device": lambda: build.device("mps"),
        "reset": lambda: build.reset(["hook_embed"], permanent=1),
        "run": lambda: build.run(never_fired=["hook_embed"], bytes_cached=12),
    }[place]
    refused = 0

    @settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(stack=stacks(), days=st.integers(0, 60))
    def agree(stack, days):
        nonlocal refused
        policy, day, request = merged(stack), TODAY + timedelta(days), make()
        model = TinyModel(n_layers=1)
        manager = asking(policy, clock=lambda: day)
        decision = getattr(manager, f"review_{place}")(request, model)
        about = ModelFacts(model, (), policy.environment)
        facts = {**about.recorded(policy.paths_at(place)), **RequestFacts(request, about).written()}
        ruling = explain(policy, place, RecordedFacts(facts), day).ruling
        assert strongest(decision.objections) == ruling.verdict
        assert sorted(o.rule for o in decision.objections) == sorted(match.rule.name for match in ruling.matches)
        (replayed,) = replay([entry_of(decision, about.recorded(), day)], policy)
        assert replayed.changes == ()
        refused += not decision.allowed

    agree()
    assert refused
