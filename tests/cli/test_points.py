"""``hookframe points`` and ``hookframe families``, on models named in each of the ways there are."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import hookframe
from hookframe import Family, HookDenied, HookedRootModule, HookPoint, Objection, hookimpl
from hookframe.cli import main as command
from hookframe.cli.any_models import open_any_model
from hookframe.errors import ModelNotLoaded
from hookframe.instrumenting.checks import Sums
from hookframe.instrumenting.family import Gate
from hookframe.instrumenting.place import Part, inner, into, out


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = nn.Linear(4, 4)

    def forward(self, x):
        return x + self.mlp(x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(model_type="little", vocab_size=9, n_heads=2)
        self.embed = nn.Embedding(9, 4)
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.unused = nn.Identity()

    def forward(self, input_ids):
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x)
        return x


LITTLE = Family(
    name="little",
    model_types=("little",),
    names={
        "hook_embed": out("embed"),
        "hook_unused": out("unused"),
        "blocks.{i}.hook_resid_pre": into("layers.{i}"),
        "blocks.{i}.hook_mlp_out": (out("layers.{i}.nowhere"), out("layers.{i}.mlp", heads=None)),
        "blocks.{i}.hook_heads": out("layers.{i}.mlp", heads="n_heads", item=0, part=Part(0, 1), when=("n_heads", 2)),
        "blocks.{i}.hook_pattern": inner("layers.{i}", "pattern"),
        "blocks.{i}.hook_resid_post": out("layers.{i}"),
    },
    gates=(Gate(rule="shut", points=("*.hook_pattern",), closed=lambda model: "it is shut", remedy="open it"),),
    checks=(Sums(("blocks.{i}.hook_resid_post", "blocks.{i}.hook_resid_pre", "blocks.{i}.hook_mlp_out")),),
)
WRONG = Family(
    name="wrong",
    names={**LITTLE.names, "blocks.{i}.hook_mlp_out": into("layers.{i}.mlp")},
    gates=LITTLE.gates,
    checks=LITTLE.checks,
)


class Provides:
    @hookimpl
    def hookframe_model_families(self):
        return [LITTLE, WRONG]


@pytest.fixture
def run(monkeypatch, manager):
    module = SimpleNamespace(Model=Model, model=Model(), text="no model", __name__="little_models")
    monkeypatch.setitem(sys.modules, "little_models", module)
    monkeypatch.setenv("COLUMNS", "120")
    manager.register(Provides())
    return lambda *arguments: CliRunner().invoke(command.cli, list(arguments))


def test_points_are_shown_as_a_tree_with_other_names_and_gates(run):
    shown = run("points", "little_models:Model")
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith("Model, family little: ")
    assert "      blocks.1.hook_resid_pre  (layers.1.hook_in)" in lines
    assert "      blocks.0.hook_pattern  closed: it is shut; open it" in lines
    assert "did not fire" not in shown.output
    assert run("points", "little_models:model").output == shown.output


def test_a_probe_shows_shapes_and_what_did_not_fire(run):
    shown = run("points", "little_models:Model", "--probe")
    assert shown.exit_code == 0, shown.output
    assert "blocks.0.hook_heads  [2, 6, 2, 2] float32" in shown.output
    assert "hook_unused  (unused.hook_out)  did not fire" in shown.output
    assert "2 checks, 0 of them do not hold" in shown.output


def test_points_as_json_and_by_name(run):
    shown = run("points", "little_models:Model", "--probe", "--names", "*.mlp.hook_out", "--json")
    first, second = json.loads(shown.output)
    assert first == {
        "point": "blocks.0.hook_mlp_out",
        "names": ["blocks.0.hook_mlp_out", "layers.0.mlp.hook_out"],
        "module": "layers.0.mlp",
        "kind": "Linear",
        "gate": None,
        "fired": True,
        "shape": [2, 6, 4],
        "dtype": "float32",
    }
    assert second["point"] == "blocks.1.hook_mlp_out"
    assert (
        "no hook point of little_models:Model has a name like 'x'"
        in run("points", "little_models:Model", "--names", "x").output
    )


def test_a_wrong_family_is_found_by_the_probe(run):
    shown = run("points", "little_models:Model", "--probe", "--family", "wrong")
    assert shown.exit_code == 1
    assert "Sums(blocks.0.hook_resid_post, blocks.0.hook_resid_pre, blocks.0.hook_mlp_out): off by" in shown.output


def test_modules_that_only_hold_others_are_left_out_and_the_model_is_named_by_its_class(run):
    rows = json.loads(run("points", "little_models:Model", "--json").output)
    assert {row["module"] for row in rows} == {
        "",
        "embed",
        "unused",
        *(f"layers.{i}{x}" for i in (0, 1) for x in ("", ".mlp")),
    }
    assert {row["kind"] for row in rows if row["module"] == ""} == {"Model"}
    assert "(the model)  Model\n" in run("points", "little_models:Model").output


def test_a_model_with_points_of_its_own_is_shown_and_probed(run):
    shown = run("points", "demo", "--names", "*hook_resid_post")
    assert shown.exit_code == 0, shown.output
    assert "DemoTransformer" in shown.output
    probed = run("points", "demo", "--probe")
    assert probed.exit_code == 0, probed.output
    assert "blocks.0.hook_resid_post  [2, 6, 96] float32" in probed.output
    assert "hook_result  did not fire" in probed.output
    assert re.search(r"\n\d+ of \d+ points fired\n$", probed.output)


class Own(HookedRootModule):
    """Takes numbers, and has a vocabulary in one of its configurations, or none."""

    def __init__(self, **config):
        super().__init__()
        self.config = SimpleNamespace(**config)
        self.hook_x = HookPoint()
        self.setup()
        self.hook_x.eval()

    def forward(self, x):
        if self.config.vocab_size == 3:
            raise IndexError("out of range")
        return self.hook_x(x)


def test_what_cannot_be_probed_says_why(run, monkeypatch):
    models = sys.modules["little_models"]
    for config, says in (
        ({"vocab_size": "many"}, "has no d_vocab and no vocab_size"),
        ({"vocab_size": 3}, r"cannot be run on a probe \(IndexError: out of range\): leave out --probe"),
    ):
        models.own = Own(**config)
        refused = run("points", "little_models:own", "--probe")
        assert refused.exit_code == 2
        assert re.search(says, " ".join(refused.output.split()))
    models.own = Own(vocab_size=50)
    assert "hook_x  [2, 6] int64" in run("points", "little_models:own", "--probe").output
    assert (models.own.training, models.own.hook_x.training) == (True, False)  # as it was

    class Nothing:
        @hookimpl
        def hookframe_check_cache(self, request):
            return [Objection.deny(request, rule="none", message="nothing is cached", remedy="ask")]

    with hookframe.use_plugins(Nothing()):
        assert isinstance(run("points", "little_models:own", "--probe").exception, HookDenied)


def test_families_are_listed_and_shown(run, manager):
    assert "little  7      1      1       little" in run("families", "list").output
    assert json.loads(run("families", "list", "--json").output)[0] == {
        "name": "little",
        "model_types": ["little"],
        "names": 7,
    }
    shown = run("families", "show", "little").output
    assert "  blocks.{i}.hook_mlp_out  out of layers.{i}.nowhere or out of layers.{i}.mlp" in shown
    assert (
        "  blocks.{i}.hook_heads  out of layers.{i}.mlp, item 0, part 1 of 1, heads by n_heads, if n_heads is 2"
        in shown
    )
    assert "  blocks.{i}.hook_pattern  pattern inside of layers.{i}" in shown
    assert "  shut  *.hook_pattern: open it" in shown
    assert "  Sums  blocks.{i}.hook_resid_post, " in shown
    missing = run("families", "show", "litle")
    assert "did you mean 'little'" in str(missing.exception)


def test_without_families_the_command_says_where_they_come_from(manager):
    assert "install hookframe-families" in CliRunner().invoke(command.cli, ["families", "list"]).output


def test_a_family_is_checked_on_a_model(run):
    fine = run("families", "check", "little_models:Model")
    assert fine.exit_code == 0, fine.output
    assert "Model, family little: 2 checks" in fine.output
    assert "  did not fire: hook_unused: its module was not called" in fine.output
    closed = (
        "2 points (blocks.0.hook_pattern, blocks.1.hook_pattern): HookPointClosed: hook point '…' is closed: it is shut"
    )
    assert f"  did not fire: {closed}" in fine.output
    assert "all hold" in fine.output
    wrong = run("families", "check", "little_models:Model", "--family", "wrong")
    assert wrong.exit_code == 1
    assert "2 do not hold" in wrong.output
    assert "no family recognises demo" in run("families", "check", "demo").output


# ---- models that transformers loads ---------------------------------------------------------------------------------


def stand_in(seen, architectures=("LlamaForCausalLM",)):
    """What is needed of transformers, to see what it would be asked for."""

    class AutoConfig:
        @staticmethod
        def from_pretrained(target, **options):
            if target == "missing":
                raise OSError("no such model")
            seen.append(("config", target, options))
            return SimpleNamespace(architectures=architectures)

    def auto(name):
        def made(*arguments, **options):
            named = [argument for argument in arguments if isinstance(argument, str)]
            seen.append((name, *named, options))
            return Model()

        return SimpleNamespace(from_pretrained=made, from_config=made)

    names = ("AutoModel", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM")
    return SimpleNamespace(AutoConfig=AutoConfig, **{name: auto(name) for name in names})


@pytest.mark.parametrize(
    ("target", "eager", "expected"),
    [
        ("folder", False, ("AutoModelForCausalLM", "folder", {})),
        ("folder", True, ("AutoModelForCausalLM", "folder", {"attn_implementation": "eager"})),
        ("some/model.gguf", False, ("AutoModelForCausalLM", "some", {"gguf_file": "model.gguf"})),
        ("config.json", True, ("AutoModelForCausalLM", {"attn_implementation": "eager"})),
    ],
)
def test_transformers_is_asked_for_what_the_target_means(monkeypatch, target, eager, expected):
    seen = []
    monkeypatch.setitem(sys.modules, "transformers", stand_in(seen))
    assert not open_any_model(target, eager=eager).training
    assert seen[-1] == expected


@pytest.mark.parametrize(
    ("architectures", "kind"),
    [(("BertModel",), "AutoModel"), (None, "AutoModel"), (("T5ForConditionalGeneration",), "AutoModelForSeq2SeqLM")],
)
def test_the_class_goes_by_the_architecture(monkeypatch, architectures, kind):
    seen = []
    monkeypatch.setitem(sys.modules, "transformers", stand_in(seen, architectures))
    open_any_model("folder")
    assert seen[-1][0] == kind


def test_what_cannot_be_loaded_says_so(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", stand_in([]))
    with pytest.raises(ModelNotLoaded, match="'missing' cannot be loaded by transformers: no such model"):
        open_any_model("missing")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelNotLoaded, match="transformers, which is not installed"):
        open_any_model("folder")
    assert "is a str: name a model" in run("points", "little_models:text").output
    assert torch.is_tensor(Model()(torch.ones(1, 1, dtype=torch.long)))
