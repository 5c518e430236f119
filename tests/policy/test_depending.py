"""A rule that speaks of families or canonical names needs the plugins that provide them: nobody takes the names away."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from importlib_metadata import distributions
from torch import nn

import hookframe
from hookframe import HookDenied, PluginManager
from hookframe.cli.main import cli
from hookframe.policy.in_force.depending import FAMILIES
from hookframe.policy.in_force.governing import governed_manager
from hookframe.policy.tools.analysis import analyse
from tests.policy.documents import TODAY

RULE = 'schema = 1\n[[rules]]\nid = "stream"\nreason = "the stream is read"\nremedy = "read"\neffect = "edit"\n'
STREAM = RULE + 'points = ["**.hook_resid_post"]\n'
PROVIDER = """
from hookframe import hookimpl
from hookframe.families import Family, out


@hookimpl
def hookframe_model_families():
    names = {"blocks.{i}.hook_resid_post": out("layers.{i}")}
    return [Family(name="toy", model_types=("toy",), names=names)]
"""
WEAKER = {
    "nothing": "",
    "denied": '[loading]\ndeny = ["NAME"]',
    "not allowed": "[loading]\nallow = []",
    "pinned": '[plugins.NAME]\nversion = ">=99"\norigin = "index"',
    "isolated": '[plugins.NAME]\nisolation = "process"\nfailure = "warn"',
}
MANAGERS = {
    "those of the process": governed_manager,
    "left out on the command line": lambda: governed_manager(without=[FAMILIES, "acme-families"]),
    "none": PluginManager,
    "an observer": lambda: PluginManager(Observer()),
}


class Observer:
    @hookframe.hookimpl
    def hookframe_hooks_added(self, event):
        """Hear of hooks."""


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(model_type="toy")
        self.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(2)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def edit(tensor, hook):
    return tensor * 0


@pytest.fixture
def without_families(monkeypatch):
    """An environment in which the plugin is not installed."""
    found = [one for one in distributions() if one.metadata["Name"] != FAMILIES]
    monkeypatch.setattr("hookframe.host.installed.inventory.distributions", lambda: found)


@pytest.mark.parametrize("listed", ["all", "none", "hookframe-mps"])
@pytest.mark.parametrize("weaker", WEAKER)
@pytest.mark.parametrize("chosen", MANAGERS)
def test_the_names_that_a_rule_speaks_of_stay_whatever_anybody_leaves_out(
    places, site, monkeypatch, listed, weaker, chosen
):
    site.normal("acme-families", PROVIDER)
    monkeypatch.setenv("HOOKFRAME_PLUGINS", listed)
    places.write("machine", STREAM + '[families]\nrequire = ["acme-families"]\n')
    places.write("user", "schema = 1\n" + WEAKER[weaker].replace("NAME", "acme-families"))
    with hookframe.use_plugins(MANAGERS[chosen]()), hookframe.instrument(Toy()) as model:
        with pytest.raises(HookDenied, match="the stream is read"):
            model.add_hook("layers.1.hook_out", edit)
        model.add_hook("layers.1.hook_in", edit)


def test_a_needed_plugin_that_fails_to_give_its_families_refuses(places, site):
    site.normal("acme-families", PROVIDER.replace("    names =", "    raise RuntimeError\n    names ="))
    places.write("machine", STREAM + '[families]\nrequire = ["acme-families"]\n')
    with hookframe.use_plugins(), hookframe.instrument(Toy()) as model:
        with pytest.raises(HookDenied, match="'acme-families' is broken: its hookframe_model_families raised"):
            model.add_hook("layers.1.hook_out", edit)


@pytest.mark.parametrize("listed", ["all", "none"])
@pytest.mark.parametrize("chosen", MANAGERS)
@pytest.mark.parametrize(
    "about", ['points = ["**.hook_resid_post"]', 'families = ["llama"]', "when = { family.exists = true }"]
)
def test_a_rule_of_the_machine_that_speaks_of_canonical_names_or_families_loads_the_first_partys(
    places, monkeypatch, listed, chosen, about
):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", listed)
    places.write("machine", RULE + about)
    places.write("user", f'schema = 1\n[loading]\ndeny = ["{FAMILIES}"]\n')
    with hookframe.use_plugins(MANAGERS[chosen]()) as manager:
        assert "llama" in [family.name for family in manager.families()]


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        (RULE + 'points = ["blocks.*.hook_resid_*"]', [FAMILIES]),
        (RULE + 'when = { not = { request.point.glob = ["**.hook_embed"] } }', [FAMILIES]),
        (RULE + 'points = ["model.layers.*.hook_out", "**.hook_in", "blocks.1"]', []),
        (STREAM + 'mode = "off"', []),
        (STREAM + "[families]\nrequire = []", []),
        (STREAM + '[families]\nrequire = ["Acme.Families"]', ["acme-families"]),
    ],
)
def test_what_a_managed_layer_depends_on(policy, text, needs):
    assert [need.plugin for need in policy(organisation=text).loading.needs] == needs


def test_a_layer_that_its_user_writes_depends_on_what_it_names(policy):
    assert policy(project=STREAM).loading.needs == ()
    assert policy(project=STREAM + '[families]\nrequire = ["hookframe-families"]').loading.require == {FAMILIES}


@pytest.mark.parametrize("chosen", [governed_manager, PluginManager])
def test_without_the_plugin_every_hook_is_refused_with_the_reason_and_the_remedy(
    places, model, without_families, chosen
):
    path = places.write("machine", STREAM)
    with hookframe.use_plugins(chosen()), pytest.raises(HookDenied) as refused:
        model.add_hook("hook_embed", edit)
    (denial,) = refused.value.decision.denials
    assert denial.message.startswith(
        f"the required plugin '{FAMILIES}' is missing: rule machine:stream speaks of the canonical name "
        f"'**.hook_resid_post' (machine policy, {path}:2), and the plugin is not installed"
    )
    assert denial.remedy == f"pip install {FAMILIES}"


def test_check_doctor_and_why_show_what_rules_depend_on(places, monkeypatch):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "none")
    path = places.write("machine", STREAM)
    why = f"rule machine:stream speaks of the canonical name '**.hook_resid_post' (machine policy, {path}:2)"
    for verb in (["policy", "check"], ["doctor"]):
        assert f"needs {FAMILIES}: {why}" in CliRunner().invoke(cli, verb).output, verb
    shown = CliRunner().invoke(cli, ["plugins", "why", FAMILIES])
    assert f"{why}: every hook is refused without it" in shown.output
    assert "it cannot be left out" in shown.output
    assert shown.exit_code == 0


def test_a_denial_of_a_weaker_layer_that_has_no_effect_is_found(policy):
    found = analyse(policy(organisation=STREAM, user=f'schema = 1\n[loading]\ndeny = ["{FAMILIES}"]\n'), TODAY)
    (note,) = [note for note in found if note.where == "loading.deny"]
    assert note.message.startswith(f"{FAMILIES} loads all the same: rule organisation:stream speaks of")
