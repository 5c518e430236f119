"""A place has the same names, and the same rules hold there, however the model is held; or it is said that they cannot be told."""

from __future__ import annotations

import pytest
import torch
from hookframe_families import plugin
from torch import nn

import hookframe
from hookframe import Family, HookDenied, Objection, hookimpl, instrument
from hookframe.families import out, probe_input

from .conftest import MODELS, build

pytestmark = pytest.mark.filterwarnings("default")  # what these libraries warn of is their own affair

PLACES = {
    "llama": {
        "embedding": "hook_embed",
        "stream": "blocks.1.hook_resid_post",
        "heads": "blocks.1.attn.hook_q",
        "pattern": "blocks.1.attn.hook_pattern",
        "neurons": "blocks.1.mlp.hook_post",
        "final norm": "ln_final.hook_normalized",
    },
    "gpt2": {
        "embedding": "hook_embed",
        "stream": "blocks.1.hook_resid_post",
        "heads": "blocks.1.attn.hook_q",
        "pattern": "blocks.1.attn.hook_pattern",
        "neurons": "blocks.1.mlp.hook_post",
        "final norm": "ln_final.hook_normalized",
    },
    "bert": {
        "embedding": "hook_embed",
        "stream": "blocks.1.hook_resid_post",
        "heads": "blocks.1.attn.hook_q",
        "pattern": "blocks.1.attn.hook_pattern",
        "neurons": "blocks.1.mlp.hook_post",
        "final norm": "blocks.1.ln2.hook_normalized",
    },
    "t5": {
        "embedding": "decoder.hook_embed",
        "stream": "decoder.1.hook_resid_post",
        "heads": "decoder.1.cross_attn.hook_q",
        "pattern": "decoder.1.attn.hook_pattern",
        "neurons": "decoder.1.mlp.hook_post",
        "final norm": "decoder_final_ln.hook_normalized",
    },
}
LAYER = {
    "llama": "model.layers.1",
    "gpt2": "transformer.h.1",
    "bert": "bert.encoder.layer.1",
    "t5": "decoder.block.1",
}


class Head(nn.Module):
    """A reward head around a model."""

    def __init__(self, model):
        super().__init__()
        self.backbone, self.head = model, nn.Linear(32, 1)


class Recorder:
    def __init__(self):
        self.seen = []

    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        self.seen += requests


@pytest.fixture
def recorder(families):
    recorder = Recorder()
    families.register(recorder)
    return recorder


@hookframe.read_only
def look(tensor, hook):
    return None


def asked(hooked, name, recorder):
    """The request for a hook at ``name``."""
    hooked.add_hook(name, look).remove()
    return recorder.seen[-1]


@pytest.fixture(scope="module")
def process_group(tmp_path_factory):
    store = tmp_path_factory.mktemp("group") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def adapted(model):
    peft = pytest.importorskip("peft")
    target = {"t5": "q", "bert": "query", "gpt2": "c_attn"}.get(model.config.model_type, "q_proj")
    return peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=[target]))


def renamed(model):
    """The class of the model is derived from the family's, and its configuration has a type of its own."""
    model.__class__ = type("Tuned", (type(model),), {})
    model.config.model_type = "tuned"
    return model


def known_by_its_configuration_only(model):
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.config = model.config
            self.__dict__["_modules"] = model._modules

    return Bare()


HOLDS = {
    "bare": lambda model: model,
    "sequence": nn.Sequential,
    "two around": lambda model: nn.Sequential(nn.Sequential(model)),
    "head": Head,
    "data parallel": nn.DataParallel,
    "distributed": nn.parallel.DistributedDataParallel,
    "adapter": adapted,
    "subclass": renamed,
    "configuration": known_by_its_configuration_only,
}


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("name", PLACES)
def test_a_place_has_the_names_that_it_has_in_the_bare_model(name, hold, recorder, process_group):
    bare = instrument(build(name))
    held = HOLDS[hold](build(name))
    hooked = instrument(held)
    for kind, place in PLACES[name].items():
        expected, found = asked(bare, place, recorder), asked(hooked, place, recorder)
        missing = {*expected.names} - {*found.names}
        if hold == "adapter":  # its modules take the place of those that they adapt
            missing = {known for known in missing if known == place}
        assert missing == set(), kind
        assert found.is_at(place), kind
        assert (found.layer, found.families, found.certain) == (expected.layer, expected.families, True), kind


@pytest.mark.parametrize("name", PLACES)
def test_a_compiled_model_is_recognised(name, recorder):
    hooked = instrument(torch.compile(build(name)))
    assert hooked.families_around() == (name,)
    request = asked(hooked, "hook_out", recorder)
    assert (request.families, request.certain) == ((name,), True)


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("part", ["the layer", "a slice", "the list"])
def test_a_part_has_the_names_of_a_whole_that_was_instrumented(name, part, recorder):
    model = build(name)
    layer = model.get_submodule(LAYER[name])
    within, prefix = {
        "the layer": (layer, ""),
        "a slice": (nn.Sequential(layer), "0."),
        "the list": (model.get_submodule(LAYER[name].rpartition(".")[0]), "1."),
    }[part]
    alone = asked(instrument(within), f"{prefix}hook_out", recorder)
    assert (alone.certain, alone.families, alone.layer) == (False, (name,), None)
    whole = instrument(model)
    expected = asked(whole, f"{LAYER[name]}.hook_out", recorder)
    for _ in ("while the whole is instrumented", "after it was released"):
        found = asked(instrument(within), f"{prefix}hook_out", recorder)
        assert {*expected.names} <= {*found.names}
        assert (found.certain, found.families, found.layer) == (True, (name,), 1)
        whole.release()


@pytest.mark.parametrize("part", ["layers.1.self_attn", "layers.1.mlp.gate_proj", "layers.1", "norm"])
def test_parts_of_unknown_models_cannot_be_told_where_a_family_knows_something_of_them(part, recorder):
    request = asked(instrument(build("llama").model.get_submodule(part)), "hook_out", recorder)
    assert request.certain is (part in ("layers.1.mlp.gate_proj", "norm"))  # a linear layer is a part of everything
    assert not any(name.startswith(("blocks", "ln_final")) for name in request.names)


def test_a_stage_of_a_pipeline_cannot_be_told(recorder):
    model = build("llama", num_hidden_layers=4)
    model.model.layers = model.model.layers[2:]
    request = asked(instrument(model), "model.layers.0.hook_out", recorder)
    assert (request.certain, request.families, request.layer) == (False, ("llama",), None)


def test_two_models_in_one_are_both_recognised(recorder):
    pair = nn.ModuleDict({"actor": build("llama"), "critic": build("gpt2")})
    hooked = instrument(pair)
    assert asked(hooked, "actor.model.layers.1.hook_out", recorder).is_at("blocks.1.hook_resid_post")
    request = asked(hooked, "critic.transformer.h.0.hook_out", recorder)
    assert request.is_at("blocks.0.hook_resid_post")
    assert (request.families, request.layer) == (("gpt2",), 0)


class OfMyOwn(nn.Module):
    """The modules of a llama, without its classes and its configuration."""

    def __init__(self):
        super().__init__()
        llama = build("llama").model
        self.embed_tokens, self.norm = llama.embed_tokens, llama.norm
        self.layers = nn.ModuleList([self.copied(layer) for layer in llama.layers])

    def copied(self, module):
        copy = nn.Module() if not isinstance(module, nn.Linear) else nn.Linear(1, 1)
        for name, child in module.named_children():
            copy.add_module(name, self.copied(child))
        return copy


def test_a_model_is_recognised_by_what_it_consists_of(recorder):
    request = asked(instrument(nn.Sequential(OfMyOwn())), "0.layers.1.hook_out", recorder)
    assert request.is_at("blocks.1.hook_resid_post")
    assert (request.certain, request.layer) == (True, 1)


def test_a_model_of_no_family_is_certain(recorder):
    request = asked(instrument(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())), "0.hook_out", recorder)
    assert (request.names, request.families, request.certain) == (("0.hook_out",), (), True)


def test_a_family_of_a_users_own_adds_names_that_allow_nothing_and_takes_none_away(recorder):
    mine = Family(name="mine", names={"hook_embed": out("layers.1"), "blocks.{i}.hook_mine": out("layers.{i}")})
    hooked = instrument(build("llama"), family=mine)
    request = asked(hooked, "hook_embed", recorder)
    assert request.names == ("blocks.1.hook_resid_post", "model.layers.1.hook_out")
    assert set(request.aliases) == {"hook_embed", "blocks.1.hook_mine"}
    assert asked(hooked, "model.embed_tokens.hook_out", recorder).is_at("hook_embed")
    assert hooked.families_around() == ("llama",)


class NoStream:
    @hookimpl
    def hookframe_check_hooks_to_add(self, requests):
        hit = [request for request in requests if request.matches("**.hook_resid_post")]
        return [Objection.deny(request, rule="stream", message="read-only", remedy="cache") for request in hit]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_hook_on_a_part_is_asked_about_again_when_the_whole_is_instrumented(name, families):
    families.register(NoStream())
    model = build(name)
    part = instrument(model.get_submodule(LAYER[name]))
    part.add_hook("hook_out", lambda tensor, hook: tensor)
    with pytest.raises(HookDenied, match="read-only"):
        instrument(model)
    assert not part.active_points
    with pytest.raises(HookDenied, match="read-only"):
        part.add_hook("hook_out", lambda tensor, hook: tensor)


# ---- several packages ------------------------------------------------------------------------------------------------


class Extends:
    def __init__(self, **facts):
        self.family = Family(name="llama", **facts)

    @hookimpl
    def hookframe_model_families(self):
        return [self.family]


class AddsAName(Extends):
    pass


class AddsACheck(Extends):
    pass


def test_two_plugins_extend_a_family(families, recorder):
    from hookframe.families import Sums, probe

    families.register(AddsAName(names={"blocks.{i}.hook_rope": out("layers.{i}.self_attn.o_proj")}))
    wrong = Sums(("blocks.{i}.hook_resid_post", "blocks.{i}.hook_resid_pre", "blocks.{i}.hook_resid_pre"))
    families.register(AddsACheck(checks=(wrong,), model_types=("tuned",)))
    hooked = instrument(build("llama"))
    assert asked(hooked, "model.layers.0.self_attn.o_proj.hook_out", recorder).is_at("blocks.0.hook_rope")
    assert asked(hooked, "model.layers.0.hook_out", recorder).is_at("blocks.0.hook_resid_post")
    assert {finding.names for finding in probe(hooked).findings} == {
        (f"blocks.{i}.hook_resid_post", f"blocks.{i}.hook_resid_pre", f"blocks.{i}.hook_resid_pre") for i in range(2)
    }
    assert hooked.family.gates == plugin.FAMILIES[0].gates


def test_two_plugins_that_contradict_each_other_are_named(families):
    families.register(AddsAName(names={"hook_embed": out("norm")}))
    with pytest.raises(
        hookframe.FamilyConflict, match=r"AddsAName and hookframe_families\.plugin contradict each other"
    ):
        instrument(build("llama"))


# ---- equal places ----------------------------------------------------------------------------------------------------


def equal_pairs(hooked, *, edits):
    """Pairs of points that a family says are equal: with ``edits``, those at which an edit is the same edit."""
    for name, point in hooked.hook_dict.items():
        place = hooked.place_of(point)
        for other in place.equal:
            if other in hooked.hook_dict and (other not in place.others) is edits:
                yield name, other


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("edits", [True, False], ids=["one edit", "one tensor"])
def test_equal_places_carry_one_tensor(name, edits):
    hooked = instrument(build(name))
    inputs = probe_input(hooked.recognised_model, hooked.family)
    with torch.no_grad():
        _, cache = hooked.run_with_cache(**inputs, clone="auto")
    tried = 0
    for one, other in equal_pairs(hooked, edits=edits):
        first, second = cache[hooked.names_of(one)[0]], cache[hooked.names_of(other)[0]]
        first, second = (value.flatten().sort().values for value in (first, second))  # heads may come before positions
        assert torch.equal(first, second), (one, other)
        tried += 1
    assert tried >= 2


@pytest.mark.parametrize("name", MODELS)
def test_an_edit_at_an_equal_place_is_the_same_edit(name):
    hooked = instrument(build(name))
    inputs = probe_input(hooked.recognised_model, hooked.family)

    def edited(point):
        def turn(tensor, hook):
            return (
                torch.flip(tensor, (-1,))
                if tensor.dim() == 3
                else torch.flip(tensor.flatten(-2), (-1,)).view_as(tensor)
            )

        with torch.no_grad():
            output = hooked.run_with_hooks(**inputs, fwd_hooks=[(point, turn)])
        return [value for value in output.values() if isinstance(value, torch.Tensor)]

    pairs = {tuple(sorted(pair)) for pair in equal_pairs(hooked, edits=True)}
    assert pairs
    for one, other in pairs:
        assert all(map(torch.equal, edited(one), edited(other))), (one, other)


@pytest.mark.parametrize(
    "point", ["blocks.1.hook_resid_pre", "model.layers.1.hook_in", "model.layers.1.input_layernorm.hook_in"]
)
def test_a_rule_holds_at_an_equal_place(point, policy):
    with policy("points = ['**.hook_resid_post']\neffect = 'edit'"), pytest.raises(HookDenied):
        instrument(build("llama")).add_hook(point, lambda tensor, hook: tensor * 2)


def test_a_rule_holds_at_the_input_of_the_final_norm(policy):
    with policy("points = ['**.hook_resid_post']\neffect = 'edit'"), pytest.raises(HookDenied):
        instrument(build("llama")).add_hook("model.norm.hook_in", lambda tensor, hook: tensor * 2)


def test_an_exact_rule_holds_at_its_points_alone(policy):
    hooked = instrument(build("llama"))
    with policy("points = ['**.hook_resid_post']\nexactly = true"):
        hooked.add_hook("blocks.1.hook_resid_pre", lambda tensor, hook: tensor * 2)
        for same in ("blocks.0.hook_resid_post", "model.layers.0.hook_out"):
            with pytest.raises(HookDenied):
                hooked.add_hook(same, lambda tensor, hook: tensor * 2)


def test_an_allow_list_allows_the_same_edit_and_no_larger_one(policy):
    hooked = instrument(build("llama"))
    with policy("when = { not = { \"request.point\" = { glob = ['blocks.0.hook_resid_post'] } } }"):
        hooked.add_hook("blocks.1.hook_resid_pre", lambda tensor, hook: tensor * 2)
        with pytest.raises(HookDenied):  # it reads the same tensor, and passes on less of it
            hooked.add_hook("model.layers.1.input_layernorm.hook_in", lambda tensor, hook: tensor * 2)
    with (
        policy("when = { not = { \"request.point\" = { glob = ['model.layers.1.input_layernorm.hook_in'] } } }"),
        pytest.raises(HookDenied),
    ):
        hooked.add_hook("blocks.1.hook_resid_pre", lambda tensor, hook: tensor * 2)


# ---- the facts of a policy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hold", ["bare", "sequence", "head", "data parallel", "adapter"])
def test_the_facts_are_those_of_the_model_that_a_family_recognised(hold, families):
    from hookframe.policy.language.facts import ModelFacts

    facts = ModelFacts(instrument(HOLDS[hold](build("llama"))), families.families())
    assert facts.get("model.class") == "LlamaForCausalLM"
    assert facts.get("model.module") == "transformers.models.llama.modeling_llama"
    assert facts.get("model.config.num_hidden_layers") == 2
    assert facts.get("family") == ("llama",)
    assert facts.get("device.type") == "cpu"


def test_the_facts_of_a_model_of_no_family_are_its_own(families):
    from hookframe.policy.language.facts import ModelFacts

    facts = ModelFacts(instrument(nn.Linear(1, 1)), families.families())
    assert (facts.get("model.class"), facts.get("family")) == ("Linear", ())
