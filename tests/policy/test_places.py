"""Rules hold at a place: names that a user gives open nothing, and what cannot be told is no admission."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookframe import HookDenied, HookedRootModule, HookPoint, PolicyError
from hookframe.admission.request import FunctionInfo, HookRequest
from hookframe.host.running.manager import PluginManager
from hookframe.policy.files.reading import read_layer
from hookframe.policy.in_force.decide import VERDICTS, decide
from hookframe.policy.in_force.engine import PolicyEngine
from hookframe.policy.in_force.merging import merge
from hookframe.policy.language.facts import ModelFacts, RecordedFacts, RequestFacts
from hookframe.policy.language.vocabulary import LayerKind
from tests.policy.documents import GLOBS, NAMES, TODAY, merged, stacks

RULE = """
schema = 1
[[rules]]
id = "r"
reason = "it is so"
remedy = "do otherwise"
"""
ONLY_EMBED = RULE + 'when = { not = { request.point.glob = ["hook_embed"] } }\n'
NO_STREAM = RULE + 'points = ["**.hook_resid_post"]\neffect = "edit"\n'
EXCEPTED = (
    RULE
    + """
[[exceptions]]
id = "e"
rule = "r"
points = ["hook_embed"]
owner = "me"
reason = "so"
until = 2026-12-31
"""
)


def verdict(policy, request, model=None):
    return decide(policy, "add", RequestFacts(request, ModelFacts(model)), TODAY).verdict


@pytest.mark.parametrize("text", [ONLY_EMBED, RULE + 'when = { request.point.ne = "hook_embed" }\n'])
def test_an_alias_satisfies_no_allow_list(policy, requests, text):
    assert verdict(policy(text), requests("hook_embed")) == "allow"
    assert verdict(policy(text), requests("blocks.0.hook_q", aliases=("hook_embed",))) == "deny"


def test_an_alias_satisfies_no_exception(policy, requests):
    assert verdict(policy(EXCEPTED), requests("hook_embed")) == "warn"
    assert verdict(policy(EXCEPTED), requests("blocks.0.hook_q", aliases=("hook_embed",))) == "deny"


def test_an_alias_may_lead_to_a_refusal(policy, requests):
    assert verdict(policy(NO_STREAM), requests("a", aliases=("blocks.0.hook_resid_post",))) == "deny"


def test_a_name_that_a_user_gave_the_point_opens_no_allow_list(policy, requests):
    named = requests("hook_embed", names=("blocks.0.hook_q",))
    assert verdict(policy(ONLY_EMBED), named) == "deny"
    assert verdict(policy(RULE + 'points = ["hook_embed"]\n'), named) == "deny"
    assert (named.is_at("hook_embed"), named.matches("hook_embed"), named.matches("blocks.*.hook_?")) == (
        False,
        True,
        True,
    )


def test_every_name_of_the_place_counts_in_allow_lists_and_rules(policy, requests):
    there = requests("wte.hook_out", names=("wte.hook_out", "hook_embed"))
    assert verdict(policy(ONLY_EMBED), there) == "allow"
    assert verdict(policy(RULE + 'points = ["hook_embed"]\n'), there) == "deny"


def test_an_alias_that_is_given_at_the_call_opens_no_allow_list(policy):
    class Model(HookedRootModule):
        def __init__(self):
            super().__init__()
            self.hook_embed, self.hook_mid = HookPoint(), HookPoint()
            self.setup()

    model = Model()
    model.admission_controller = PluginManager(PolicyEngine(policy(organisation=ONLY_EMBED)))
    with pytest.raises(HookDenied, match="it is so"):
        model.hook_mid.add_hook(lambda tensor, hook: None, alias_names=["hook_embed"])
    model.hook_embed.add_hook(lambda tensor, hook: None)


some_names = st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple)


@st.composite
def made_requests(draw):
    return HookRequest(
        index=0,
        point=draw(st.none() | st.sampled_from(NAMES)),
        function=FunctionInfo(module=draw(st.sampled_from(["acme", "other"])), qualname="f"),
        direction=draw(st.sampled_from(["fwd", "bwd"])),
        effect=draw(st.sampled_from(["read", "edit"])),
        route=draw(st.sampled_from(["add_hook", "hooks", "run_with_cache"])),
        permanent=draw(st.booleans()),
        exact=draw(st.booleans()),
        level=draw(st.none() | st.integers(0, 2)),
        names=draw(some_names),
        aliases=draw(some_names),
        layer=draw(st.none() | st.sampled_from([0, 1, 2, 12])),
        families=draw(st.lists(st.sampled_from(["gpt2", "llama"]), max_size=2, unique=True).map(tuple)),
        certain=draw(st.booleans()),
        lasting=draw(st.booleans()),
    )


@settings(deadline=None)
@given(stack=stacks(), request=made_requests(), more=some_names)
def test_more_aliases_never_turn_a_refusal_into_an_admission(stack, request, more):
    policy = merged(stack)
    before = verdict(policy, request)
    after = verdict(policy, replace(request, aliases=(*request.aliases, *more)))
    assert VERDICTS.index(after) <= VERDICTS.index(before), (before, after)


@settings(deadline=None)
@given(
    globs=st.lists(st.sampled_from(GLOBS), min_size=1, max_size=2, unique=True),
    exceptions=st.lists(st.sampled_from(GLOBS), min_size=1, max_size=2, unique=True),
    turned=st.booleans(),
    request=made_requests(),
    more=some_names,
)
def test_more_aliases_never_open_a_point_that_is_refused(globs, exceptions, turned, request, more):
    about = {"request.point": {"glob": globs}}
    rule = {"id": "r", "reason": "so", "remedy": "do", "when": {"not": about} if turned else about}
    exception = {"id": "e", "rule": "r", "owner": "me", "reason": "so", "until": TODAY, "points": exceptions}
    policy = merged({"organisation": {"schema": 1, "rules": [rule], "exceptions": [exception]}})
    before = verdict(policy, request)
    after = verdict(policy, replace(request, aliases=(*request.aliases, *more)))
    assert VERDICTS.index(after) <= VERDICTS.index(before), (before, after)


@settings(deadline=None)
@given(stack=stacks(), request=made_requests())
def test_facts_that_are_written_down_decide_as_the_live_request_does(stack, request):
    policy, about = merged(stack), ModelFacts(None)
    live = RequestFacts(request, about)
    recorded = RecordedFacts({**about.recorded(policy.paths_at("add")), **live.written()})
    assert decide(policy, "add", recorded, TODAY) == decide(policy, "add", live, TODAY)
    for path in policy.paths_at("add"):
        assert (recorded.get(path) or None, recorded.is_unknown(path)) == (
            live.get(path) or None,
            live.is_unknown(path),
        )


# ---- what cannot be told ----------------------------------------------------------------------------------------------


def uncertain(requests, **facts):
    return requests("layers.0.hook_out", names=("layers.0.hook_out",), families=("llama",), certain=False, **facts)


@pytest.mark.parametrize(
    ("layer", "setting", "expected"),
    [
        ("machine", None, "deny"),
        ("organisation", None, "deny"),
        ("project", None, "allow"),
        ("session", None, "allow"),
        ("organisation", "warn", "warn"),
        ("organisation", "allow", "allow"),
        ("project", "deny", "deny"),
    ],
)
def test_a_place_whose_name_cannot_be_told_neither_matches_nor_passes(policy, requests, layer, setting, expected):
    settings = f'[settings]\nunknown = "{setting}"\n' if setting else ""
    made = policy(**{layer: NO_STREAM + settings})
    assert verdict(made, uncertain(requests)) == expected
    assert verdict(made, uncertain(requests, effect="read")) == "allow"  # the rule is certainly not about this
    assert verdict(made, requests("conv1.hook_out", names=("conv1.hook_out",))) == "allow"  # no known family at all


def test_a_weaker_layer_does_not_loosen_what_cannot_be_told(policy, requests):
    loose, strict = '[settings]\nunknown = "allow"\n', '[settings]\nunknown = "deny"\n'
    assert verdict(policy(organisation=NO_STREAM, project="schema = 1\n" + loose), uncertain(requests)) == "deny"
    assert verdict(policy(organisation=NO_STREAM + loose, user="schema = 1\n" + strict), uncertain(requests)) == "deny"


def test_an_allow_list_refuses_what_cannot_be_told_in_every_layer(policy, requests):
    assert verdict(policy(user=ONLY_EMBED), uncertain(requests)) == "deny"


def test_an_exception_does_not_hold_for_what_cannot_be_told(policy, requests):
    made = policy(organisation=EXCEPTED.replace('points = ["hook_embed"]', 'when = { request.point.ne = "a" }'))
    assert verdict(made, requests("b")) == "warn"
    assert verdict(made, uncertain(requests)) == "deny"


def test_a_rule_that_only_records_refuses_nothing_that_cannot_be_told(policy, requests):
    assert verdict(policy(organisation=NO_STREAM + 'action = "audit"\n'), uncertain(requests)) == "audit"


def test_a_layer_that_is_absent_on_a_certain_place_is_no_riddle(policy, requests):
    late = policy(organisation=RULE + "when = { request.layer.gt = 20 }\n")
    norm = requests("model.norm", names=("model.norm", "ln_final"), families=("llama",))
    assert verdict(late, norm) == "allow"
    assert verdict(late, replace(norm, certain=False)) == "deny"


class Part:
    """A part of a model of a known family, without its configuration."""


class Whole(Part):
    class config:  # as models have it
        depth = 3


def test_a_configuration_that_is_not_there_cannot_be_told_for_a_part_of_a_known_family(policy, requests):
    deep = policy(organisation=RULE + "when = { model.config.depth.gt = 30 }\n")
    part = requests("a", names=("a",), families=("llama",))
    assert verdict(deep, part, Part()) == "deny"
    assert verdict(deep, part, Whole()) == "allow"
    assert verdict(deep, requests("a", names=("a",)), Part()) == "allow"  # a model of no known family


def test_the_refusal_says_what_is_not_known_and_how_to_make_it_known(policy, requests):
    engine = PolicyEngine(policy(organisation=NO_STREAM))
    (objection,) = engine.check_batch([uncertain(requests)], None)
    assert objection.rule == "organisation:r"
    assert objection.message == (
        "it cannot be told whether this rule holds here, since request.point is not known: it is so"
    )
    assert objection.remedy.startswith(
        "instrument the whole model, and install and load the plugin that knows its family"
    )


def test_rulings_that_are_remembered_tell_places_apart(policy, requests):
    engine = PolicyEngine(policy(organisation=NO_STREAM + "when = { request.layer.gt = 2, request.lasting = true }\n"))
    stream = requests("m.hook_out", names=("m.hook_out", "blocks.3.hook_resid_post"), layer=3, lasting=True)
    for _ in range(2):
        assert engine.check_batch([stream], None)
        assert not engine.check_batch([replace(stream, layer=1)], None)
        assert not engine.check_batch([replace(stream, lasting=False)], None)
        assert not engine.check_batch([replace(stream, names=("m.hook_out",))], None)
        assert engine.check_batch([replace(stream, names=("m.hook_out",), certain=False)], None)


# ---- many rules -------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(stack=stacks(), request=made_requests())
def test_no_rule_that_is_passed_over_would_match(stack, request):
    policy, facts = merged(stack), RequestFacts(request, ModelFacts(None))
    asked = policy.rules_about("add", facts)
    assert [rule for rule in policy.rules_at("add") if rule in asked] == [*asked]
    for rule in policy.rules_at("add"):
        assert rule in asked or rule.condition.holds(facts) is False


def test_a_thousand_rules_are_not_all_asked_about_each_of_many_points(policy, requests):
    text = "schema = 1\n" + "".join(
        f'[[rules]]\nid = "r{n}"\nreason = "r"\nremedy = "m"\npoints = ["**.hook_{n}", "a{n}.*"]\n' for n in range(1000)
    )
    made = policy(text)
    facts = RequestFacts(requests("blocks.3.hook_7", names=("blocks.3.hook_7", "a12.mlp")), ModelFacts(None))
    assert [rule.id for rule in made.rules_about("add", facts)] == ["r7", "r12"]
    uncertain = RequestFacts(requests("x", names=("x",), certain=False), ModelFacts(None))
    assert len(made.rules_about("add", uncertain)) == 1000


EQUAL = HookRequest(
    index=0,
    point="blocks.1.hook_resid_pre",
    names=("blocks.1.hook_resid_pre",),
    equal=("blocks.0.hook_resid_post", "layers.1.norm.hook_in"),
    aliases=("layers.1.norm.hook_in",),
    function=FunctionInfo(module="m", qualname="f"),
    route="add_hook",
)
HERE = replace(EQUAL, point="blocks.0.hook_resid_post", names=("blocks.0.hook_resid_post",), equal=(), aliases=())


@pytest.mark.parametrize(
    ("about", "request_", "expected"),
    [
        ("points = ['**.hook_resid_post']", EQUAL, "deny"),
        ("points = ['**.norm.hook_in']", EQUAL, "deny"),
        ("points = ['**.hook_resid_post']\nexactly = true", EQUAL, "allow"),
        ("points = ['**.hook_resid_post']\nexactly = true", HERE, "deny"),
        ("points = ['**.hook_resid_pre']\nexactly = true", EQUAL, "deny"),
        ("when = { not = { 'request.point' = { glob = '**.hook_resid_post' } } }", EQUAL, "allow"),
        ("when = { not = { 'request.point_exactly' = { glob = '**.hook_resid_post' } } }", EQUAL, "deny"),
        ("when = { not = { 'request.point' = { glob = '**.norm.hook_in' } } }", EQUAL, "deny"),
    ],
)
def test_equal_places_count_as_one_unless_a_rule_says_exactly(about, request_, expected):
    policy = merge([read_layer((RULE + about).encode(), LayerKind.ORGANISATION, "organisation.toml")])
    assert verdict(policy, request_) == expected
    written = RequestFacts(request_, ModelFacts(None)).written()
    assert decide(policy, "add", RecordedFacts(written), TODAY).verdict == expected


def test_exactly_means_the_same_where_points_are_a_list():
    text = RULE + "where = ['cache']\npoints = ['hook_a']\nexactly = true"
    policy = merge([read_layer(text.encode(), LayerKind.ORGANISATION, "organisation.toml")])
    assert decide(policy, "cache", RecordedFacts({"request.points": ["hook_a"]}), TODAY).verdict == "deny"
    assert decide(policy, "cache", RecordedFacts({"request.points": ["hook_b"]}), TODAY).verdict == "allow"


def test_exactly_without_points_is_a_mistake():
    with pytest.raises(PolicyError, match="exactly: is about points, and there are none"):
        read_layer((RULE + "exactly = true").encode(), LayerKind.ORGANISATION, "organisation.toml")


def test_a_ruling_is_not_taken_from_a_model_in_which_other_places_are_equal():
    policy = merge([read_layer(NO_STREAM.encode(), LayerKind.ORGANISATION, "organisation.toml")])
    engine = PolicyEngine(policy)
    alone = replace(EQUAL, equal=(), aliases=())
    equal = replace(alone, equal=("blocks.0.hook_resid_post",))
    assert [bool(engine.check_batch([request], None)) for request in (alone, equal, alone)] == [False, True, False]
