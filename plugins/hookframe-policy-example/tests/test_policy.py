"""The policy as it is installed: found without being imported, in force on every route, and tested by its own cases."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import hookframe
from hookframe import HookDenied, HookedRootModule, HookPoint, hookimpl, read_only
from hookframe.cli.main import cli

CASES = Path(str(resources.files("hookframe_policy_example"))) / "cases.toml"


class Model(HookedRootModule):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(2, 2) for _ in range(2)])
        self.hook_resid_post = HookPoint()
        self.setup()

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.hook_resid_post(x)


def edit(tensor, hook):
    return tensor * 0


@pytest.fixture
def model():
    return Model()


def test_the_policy_is_in_force_without_being_imported():
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom hookframe.cli.main import cli\n"
        "print(CliRunner().invoke(cli, ['policy', 'show']).output)\nprint('hookframe_policy_example' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "organisation:residual-read-only" in done.stdout
    assert done.stdout.endswith("False\n")


def test_a_lasting_edit_of_the_residual_stream_is_refused_by_rule_and_line(model):
    with pytest.raises(
        HookDenied, match=r"rule 'organisation:residual-read-only' \(organisation policy, .*policy\.toml:\d+\)"
    ):
        model.add_hook("hook_resid_post", edit)
    with pytest.raises(HookDenied, match="the residual stream may be read"):
        model.hook_resid_post.add_hook(edit)
    with pytest.raises(HookDenied, match="the residual stream may be read"):
        model.hook_resid_post.register_forward_hook(lambda module, args, output: None)
    assert not model.hook_resid_post.has_hooks()


def test_what_the_remedy_says_helps(model):
    x = torch.ones(1, 2)
    assert model.run_with_hooks(x, fwd_hooks=[("hook_resid_post", edit)]).abs().sum() == 0
    model.add_hook("hook_resid_post", read_only(lambda tensor, hook: None))
    _, cache = model.run_with_cache(x)
    assert list(cache) == ["hook_resid_post"]


class Llama(nn.Module):
    """What a family recognises: a configuration, and modules with the names of such models."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            return x + self.linear(x)

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(model_type="llama", num_hidden_layers=2)
        self.layers = nn.ModuleList([self.Block() for _ in range(2)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Observer:
    @hookimpl
    def hookframe_hooks_added(self, event):
        """Hear of hooks."""


ASKED = """
from test_policy import Llama, edit
import hookframe
with hookframe.instrument(Llama()) as model:
    try:
        model.add_hook("layers.1.hook_out", edit)
    except hookframe.HookDenied as refused:
        print(refused)
"""
PROJECTS = {
    "nothing": "",
    "denied": '[loading]\ndeny = ["hookframe-families"]',
    "not allowed": "[loading]\nallow = []",
    "pinned": '[plugins.hookframe-families]\nversion = ">=99"',
}


@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize("listed", ["all", "none", "hookframe-mps"])
def test_nobody_takes_the_names_away_that_it_speaks_of(tmp_path, project, listed):
    (tmp_path / "hookframe.toml").write_text("schema = 1\n" + PROJECTS[project])
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        cwd=tmp_path,
        env=os.environ | {"HOOKFRAME_PLUGINS": listed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "rule 'organisation:residual-read-only'" in done.stdout, done.stderr


@pytest.mark.parametrize("chosen", [(), (Observer(),)])
def test_nobody_lifts_it_by_choosing_plugins(model, monkeypatch, chosen):
    monkeypatch.setenv("HOOKFRAME_PLUGINS", "none")
    with hookframe.use_plugins(*chosen), pytest.raises(HookDenied, match="organisation:residual-read-only"):
        model.add_hook("hook_resid_post", edit)
    refused = pytest.raises(HookDenied, match="organisation:residual-read-only")
    with hookframe.use_plugins(*chosen), hookframe.instrument(Llama()) as llama, refused:
        llama.add_hook("layers.1.hook_out", edit)


def test_an_edit_that_a_context_leaves_behind_is_refused(model):
    with pytest.raises(HookDenied, match="organisation:residual-read-only"):
        model.run_with_hooks(torch.ones(1, 2), fwd_hooks=[("hook_resid_post", edit)], reset_hooks_end=False)
    with pytest.raises(HookDenied, match="organisation:residual-read-only"):
        model.hook_resid_post.add_hook(edit, level=1)


def test_another_name_for_the_point_opens_nothing(model):
    with pytest.raises(HookDenied, match="organisation:residual-read-only"):
        model.hook_resid_post.add_hook(edit, alias_names=["hook_mlp_out"])


def test_its_own_cases_pass_and_miss_nothing():
    result = CliRunner().invoke(cli, ["policy", "test", str(CASES), "--coverage", "--mutate"])
    assert result.exit_code == 0, result.output
