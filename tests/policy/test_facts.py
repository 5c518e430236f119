"""Facts of requests, models and the environment; written down they decide as they did."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import hookframe
from hookframe.admission.request import FunctionInfo, HookRequest
from hookframe.policy.in_force.decide import decide
from hookframe.policy.language.facts import ModelFacts, RecordedFacts, RequestFacts, place_of
from hookframe.policy.language.vocabulary import FACTS, fact
from hookframe.testing import RequestBuilder, TinyModel
from tests.policy.documents import TODAY, chance_of, merged, stacks


class Family:
    def __init__(self, name, answer):
        self.name = name
        self.answer = answer
        self.asked = 0

    def matches(self, model):
        self.asked += 1
        return self.answer


def test_facts_of_a_hook_request(requests):
    request = requests(
        "blocks.12.attn.hook_q", torch.nn.functional.relu, aliases=("other",), direction="bwd", level=2, permanent=True
    )
    facts = RequestFacts(request, ModelFacts(None))
    assert place_of(request) == "add"
    assert facts.get("request.point") == ("blocks.12.attn.hook_q", "other")
    assert facts.get("request.layer") == 12
    assert facts.get("request.function.name") == "torch.nn.functional.relu"
    assert facts.get("request.function.distribution") == "torch"
    assert facts.get("request.function.digest").startswith("sha256:")
    assert (facts.get("request.level"), facts.get("request.permanent")) == (2, True)
    assert facts.get("request.bytes_cached") is None
    assert facts.get("request.nothing") is None
    assert facts.get("family") == ()


@pytest.mark.parametrize(
    ("point", "layer"),
    [
        ("hook_embed", None),
        ("blocks.3", 3),
        ("h.0.7.x", None),
        ("blocks.x3", None),
        ("blocks.٣", None),
        ("blocks." + "1" * 10, None),
        (None, None),
    ],
)
def test_a_request_that_says_no_names_tells_its_layer_by_the_one_number_in_its_point(requests, point, layer):
    assert RequestFacts(requests(point), ModelFacts(None)).get("request.layer") == layer
    assert RecordedFacts({"request.point": (point,) if point else ()}).get("request.layer") == layer


def test_a_request_says_the_layer_of_its_place_and_no_number_in_a_name_does(requests):
    wrapped = requests("0.model.layers.21", names=("0.model.layers.21",), layer=21)
    norm = requests("decoders.0.norm", names=("decoders.0.norm",))
    assert RequestFacts(wrapped, ModelFacts(None)).get("request.layer") == 21
    assert RequestFacts(norm, ModelFacts(None)).get("request.layer") is None


def test_a_point_without_a_name_has_none(requests):
    facts = RequestFacts(requests(None), ModelFacts(None))
    assert facts.get("request.point") == ()


def test_facts_of_the_other_requests(requests):
    about = ModelFacts(None)
    cache = RequestFacts(requests.cache("a", "b", device="cuda:1"), about)
    assert (cache.get("request.points"), cache.get("request.points_count")) == (("a", "b"), 2)
    assert (cache.get("device.type"), cache.get("device.index")) == ("cuda", 1)
    device = RequestFacts(requests.device("mps"), about)
    assert (device.get("device.type"), device.get("device.index"), device.get("request.purpose")) == (
        "mps",
        None,
        "model",
    )
    reset = RequestFacts(requests.reset(["a"], permanent=2, owned=1), about)
    assert (reset.get("request.permanent_hooks"), reset.get("request.owned_hooks")) == (2, 1)
    run = RequestFacts(requests.run(never_fired=["a"], unmanaged=["", "b"], bytes_cached=9), about)
    assert (run.get("request.never_fired_count"), run.get("request.unmanaged_count")) == (1, 2)
    assert run.get("request.bytes_cached") == 9
    assert RequestFacts(requests.cache(device=None), about).get("device.type") is None


def test_every_declared_fact_of_a_request_is_known_where_it_says(requests):
    made = {
        "add": requests(level=1),
        "cache": hookframe.CacheRequest(points=("a",), device="cuda:0", estimated_bytes=3, route="run_with_cache"),
        "device": requests.device("cuda:0"),
        "reset": requests.reset(),
        "run": requests.run(),
    }
    for place, request in made.items():
        facts = RequestFacts(request, ModelFacts(None))
        known = {path for path in FACTS if path.startswith("request.") and facts.get(path) is not None}
        declared = {path for path, kind in FACTS.items() if path.startswith("request.") and place in kind.places}
        assert known == declared - {"request.function.distribution", "request.function.digest"}
        assert facts.written().keys() == known | (facts.written().keys() & {"device.type", "device.index"})


def test_facts_of_a_model(model):
    model.cfg.name = None
    model.cfg._private = 1
    model.config = {"depth": {"n": 3}, "rate": 0.5}
    families = [Family("b", True), Family("a", True), Family("c", False)]
    facts = ModelFacts(model, families)
    assert facts.get("model.class") == "TinyModel"
    assert facts.get("model.module") == "hookframe.testing.tiny_model"
    assert facts.get("model.training") is True
    assert (facts.get("model.cfg.n_layers"), facts.get("model.cfg.use_attn_result")) == (2, False)
    assert (facts.get("model.config.rate"), facts.get("model.config.depth.n")) == (0.5, 3)
    assert facts.get("device.type") == "cpu"
    assert facts.get("device.index") is None
    for absent in (
        "model.cfg.name",
        "model.cfg._private",
        "model.cfg.none",
        "model.config.depth",
        "nothing",
        "model.x",
    ):
        assert facts.get(absent) is None
    assert facts.get("family") == facts.get("family") == ("a", "b")
    assert [family.asked for family in families] == [1, 1, 1]


def test_facts_of_odd_models():
    class Odd:
        training = "yes"

        @property
        def cfg(self):
            raise RuntimeError("not yet")

    facts = ModelFacts(Odd())
    assert (facts.get("model.training"), facts.get("model.cfg.x"), facts.get("device.type")) == (None, None, None)
    assert facts.get("model.class") == "Odd"
    assert ModelFacts(nn.Identity()).get("device.type") is None
    assert ModelFacts(None).get("model.class") is None
    assert ModelFacts(nn.Linear(1, 1, device="meta")).get("device.type") == "meta"


def test_facts_of_the_process(monkeypatch):
    monkeypatch.setenv("LISTED", "x")
    monkeypatch.setenv("OTHER", "y")
    facts = ModelFacts(None, environment={"LISTED", "UNSET"})
    assert (facts.get("env.LISTED"), facts.get("env.OTHER"), facts.get("env.UNSET")) == ("x", None, None)
    assert facts.get("torch.version") == torch.__version__
    assert facts.get("hookframe.version") == hookframe.__version__
    assert facts.get("python.version").startswith("3.")
    assert facts.get("platform.system")


@pytest.mark.parametrize(
    "path", ["model.cfg", "model.cfg.", "env", "env.", "request", "", "family.x", "request.points.x"]
)
def test_what_is_no_declared_fact(path):
    assert fact(path) is None


def test_declared_facts_stand_for_themselves_or_for_all_below():
    assert fact("model.cfg.x.y").path == "model.cfg.*"
    assert fact("env.HOME").path == "env.*"
    assert all(fact(path).path == path for path in FACTS)


# ---- written down ------------------------------------------------------------------------------------

WORDS = st.sampled_from(["blocks.0.hook_q", "blocks.1.hook_result", "hook_embed", "a.b"])
FUNCTIONS = st.builds(
    FunctionInfo,
    module=st.sampled_from(["acme.steer", "torch.nn", "?"]),
    qualname=st.sampled_from(["push", "f.<locals>.g"]),
    digest=st.none() | st.just("sha256:00"),
)
BUILD = RequestBuilder()
REQUESTS = st.one_of(
    st.builds(
        HookRequest,
        index=st.just(0),
        point=st.none() | WORDS,
        function=FUNCTIONS,
        direction=st.sampled_from(["fwd", "bwd"]),
        route=st.sampled_from(["add_hook", "hooks"]),
        effect=st.sampled_from(["read", "edit"]),
        exact=st.booleans(),
        permanent=st.booleans(),
        level=st.none() | st.integers(0, 2),
        aliases=st.lists(WORDS, max_size=2).map(tuple),
    ),
    st.builds(
        hookframe.CacheRequest,
        points=st.lists(WORDS, max_size=3).map(tuple),
        device=st.sampled_from(["cpu", "cuda:1"]),
        gradients=st.booleans(),
        estimated_bytes=st.none() | st.integers(0, 20),
        route=st.just("run_with_cache"),
    ),
    st.sampled_from(["cpu", "mps", "cuda:0"]).map(BUILD.device),
    st.builds(BUILD.reset, st.lists(WORDS, max_size=2), permanent=st.integers(0, 2), owned=st.integers(0, 2)),
    st.builds(BUILD.run, never_fired=st.lists(WORDS, max_size=2), bytes_cached=st.integers(0, 20)),
)


def test_what_is_written_down_decides_as_the_request_did(monkeypatch):
    monkeypatch.setenv("CI", "true")
    count = []

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(stack=stacks(), asked=st.lists(REQUESTS, min_size=10, max_size=10), seed=st.integers(0, 99))
    def decides_equally(stack, asked, seed):
        policy, chance = merged(stack), chance_of(seed)
        model = TinyModel(n_layers=1)
        model.cfg = SimpleNamespace(n=chance.choice([1, 2.0]), flag=chance.random() < 0.5, act="gelu")
        families = [Family(name, chance.random() < 0.5) for name in ("gpt2", "llama")]
        for request in asked:
            about = ModelFacts(model, families, policy.environment)
            live = RequestFacts(request, about)
            place = place_of(request)
            kept = {path: about.get(path) for path in policy.paths_at(place) if not path.startswith("request.")}
            as_lists = {k: list(v) if isinstance(v, tuple) else v for k, v in {**kept, **live.written()}.items()}
            ruling = decide(policy, place, live, TODAY)
            assert ruling == decide(policy, place, RecordedFacts(as_lists), TODAY)
            assert ruling == decide(policy, place, RecordedFacts({**about.recorded(), **live.written()}), TODAY)
            count.append(len(ruling.matches))

    decides_equally()
    assert len(count) >= 600
    assert sum(count) > 10
