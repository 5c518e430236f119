"""The plugin on the bus: what its validator refuses, and its distribution. None of this needs transformers."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import hookframe_families
import pytest
import torch
from hookframe_families import plugin
from hookframe_families.gates import EAGER_ATTENTION
from hookframe_families.plugin import FAMILIES
from torch import nn

from hookframe import Family, HookDenied, HookedRootModule, HookPoint, PluginManager, instrument
from hookframe.instrumenting.choosing import families_in_force

PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
FLAGS = {
    "use_attn_result": "blocks.0.attn.hook_result",
    "use_split_qkv_input": "blocks.0.hook_q_input",
    "use_hook_mlp_in": "blocks.0.hook_mlp_in",
    "use_attn_in": "blocks.0.hook_attn_in",
}


def keep(tensor, hook):
    return None


class Lens(HookedRootModule):
    """A model with the configuration of a TransformerLens model, and the points that its flags open."""

    def __init__(self, **flags):
        super().__init__()
        self.cfg = SimpleNamespace(**(dict.fromkeys(FLAGS, False) | flags))
        block = nn.Module()
        block.attn = nn.Module()
        block.attn.hook_result = HookPoint()
        block.hook_q_input, block.hook_mlp_in, block.hook_attn_in = HookPoint(), HookPoint(), HookPoint()
        block.hook_resid_pre = HookPoint()
        self.blocks = nn.ModuleList([block])
        self.setup()

    def forward(self, x):
        return self.blocks[0].hook_resid_pre(x)


@pytest.mark.parametrize(("flag", "name"), FLAGS.items())
def test_a_point_behind_a_flag_that_is_off_is_refused_with_the_remedy(flag, name):
    with pytest.raises(HookDenied, match=rf"cfg\.{flag} is off(?s:.*)call model\.set_{flag}\(True\) first"):
        Lens().add_hook(name, keep)
    Lens(**{flag: True}).add_hook(name, keep)


def test_points_behind_flags_are_left_out_of_what_a_filter_sweeps_up():
    _, cache = Lens().run_with_cache(torch.ones(1))
    assert list(cache) == ["blocks.0.hook_resid_pre"]
    assert set(cache.skipped) == set(FLAGS.values())
    assert (
        "use-attn-result" in repr(cache.skipped)
        or "cfg.use_attn_result is off" in cache.skipped[FLAGS["use_attn_result"]]
    )


def test_other_models_are_none_of_its_business():
    point = HookPoint()
    point.add_hook(keep)
    bare = Lens()
    del bare.cfg.use_attn_in  # not all the flags: another kind of configuration
    bare.add_hook("blocks.0.attn.hook_result", keep)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    def forward(self, x):
        return x


class Layers(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList([Attention(config)])

    def forward(self, x):
        return self.layers[0](x)


@pytest.mark.parametrize("used", ["sdpa", "flash_attention_2", None])
def test_the_inside_of_attention_is_refused_unless_it_is_computed_eagerly(used):
    from hookframe.instrumenting.place import inner

    config = SimpleNamespace(model_type="x", _attn_implementation=used)
    model = Layers(config)
    family = Family(
        name="x", names={"blocks.{i}.attn.hook_pattern": inner("layers.{i}", "pattern")}, gates=(EAGER_ATTENTION,)
    )
    hooked = instrument(model, family=family)
    with pytest.raises(HookDenied, match=r"rule 'needs-eager-attention'(?s:.*)attn_implementation='eager'"):
        hooked.add_hook("blocks.0.attn.hook_pattern", keep)
    _, cache = hooked.run_with_cache(torch.ones(1))
    assert list(cache.skipped) == ["blocks.0.attn.hook_pattern"]
    assert "layers.0.hook_out" in cache


def test_each_family_is_provided_once_and_recognises_its_types_alone():
    assert [family.name for family in families_in_force()] == sorted(family.name for family in FAMILIES)
    types = [kind for family in FAMILIES for kind in family.model_types]
    assert len(types) == len(set(types))
    for family in FAMILIES:
        for kind in family.model_types:
            model = SimpleNamespace(config=SimpleNamespace(model_type=kind))
            assert [other.name for other in FAMILIES if other.matches(model)] == [family.name]


def test_each_check_is_about_names_that_its_family_knows():
    for family in FAMILIES:
        known = {name.replace("{i}", "0") for name in family.names}
        for check in family.checks:
            for name in check.names:
                for mark in ("{i}", "{next}", "{last}"):
                    name = name.replace(mark, "0")  # noqa: PLW2901  # one mark after the other
                assert name in known, (family.name, check)


def test_each_name_is_in_a_check():
    """Else nothing would notice if it pointed at the wrong place."""
    for family in FAMILIES:
        checked = {name for check in family.checks for name in check.names}
        for mark in ("{next}", "{last}", ".0."):
            checked |= {name.replace(mark, ".{i}." if mark == ".0." else "{i}") for name in checked}
        assert set(family.names) - checked == set(), family.name


def test_the_plugin_is_imported_without_torch_and_without_transformers():
    code = "import sys, hookframe_families.plugin; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    path = [place for place in sys.path if place]
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {code}"], check=False
    )  # this interpreter, our code
    assert run.returncode == 0


def test_the_entry_point_names_the_plugin():
    (place,) = PYPROJECT["project"]["entry-points"]["hookframe.plugins"].values()
    assert import_module(place) is plugin
    record = PluginManager(plugin).records[0]
    assert set(record.specs) == {"check_hooks_to_add", "model_families"}


def test_every_dependency_is_declared():
    assert PYPROJECT["project"]["dependencies"] == ["hookframe>=0.1"]
    assert PYPROJECT["project"]["license"] == "MIT"


def test_the_version_has_one_place():
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "hookframe_families.__version__"}
    assert hookframe_families.__version__
