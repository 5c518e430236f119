"""What needs an extra says which, and how to install it; what needs none works without any."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from importlib_metadata import requires
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hookframe
from hookframe import HookDenied, MissingExtra
from hookframe.extras import EXTRAS, need, needing
from hookframe.host.running.children import VARIABLE as PARENT

REQUIRED = {"torch", "pluggy", "importlib-metadata", "packaging", "click", "rich", "safetensors", "numpy"}
MODULES = sorted({module for modules in EXTRAS.values() for module in modules})
BARE = f"import sys\nfor module in {MODULES}:\n    sys.modules[module] = None\n"
"""Makes a process one in which no extra is installed."""


def run(script, *arguments, **variables):
    """Run a script without extras, where no policy of this machine's user is seen."""
    return subprocess.run(
        [sys.executable, "-c", BARE + script, *map(str, arguments)],
        env={**os.environ, PARENT: "none", "XDG_CONFIG_HOME": "/nowhere", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def requirements():
    return [Requirement(text) for text in requires("hookframe")]


def test_hookframe_requires_no_more_than_its_core_needs():
    needed = {canonicalize_name(r.name) for r in requirements() if r.marker is None}
    assert needed == REQUIRED


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_what_it_is_asked_for(extra):
    found = {r.name.replace("-", "_") for r in requirements() if r.marker and r.marker.evaluate({"extra": extra})}
    assert set(EXTRAS[extra]) <= found


def test_a_missing_extra_is_named_with_what_needs_it_and_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(MissingExtra, match=r"a job needs .*filelock: pip install 'hookframe\[capture\]'") as missing:
        need("capture", "a job")
    assert (missing.value.code, missing.value.command) == ("missing-extra", "pip install 'hookframe[capture]'")
    assert isinstance(missing.value, ImportError)


def test_an_extra_that_is_there_is_not_asked_for(monkeypatch):
    monkeypatch.setitem(EXTRAS, "capture", ("json",))
    with needing("capture", "a job"):
        import json
    assert json.dumps(1) == "1"


ADD = """
import hookframe
from hookframe.testing.tiny_model import TinyModel
try:
    with hookframe.use_plugins() if {chosen} else hookframe.no_leaks(TinyModel()):
        TinyModel().add_hook("hook_embed", lambda tensor, hook: None)
except hookframe.HookDenied as denied:
    (denial,) = denied.decision.denials
    print(denial.rule, denial.remedy, denial.message, sep=" | ")
print(sorted(name for name in {modules} if sys.modules.get(name) is not None))
"""


@pytest.mark.parametrize("place", ["project", "pyproject", "user", "session"])
def test_a_policy_that_is_there_refuses_every_hook_without_the_extra(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    file = {
        "project": tmp_path / "hookframe.toml",
        "pyproject": tmp_path / "pyproject.toml",
        "user": tmp_path / "config" / "hookframe" / "policy.toml",
        "session": tmp_path / "session.toml",
    }[place]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[tool.hookframe]\nschema = 1\n" if place == "pyproject" else "schema = 1\n")
    session = {"HOOKFRAME_POLICY": str(file)} if place == "session" else {}
    done = run(ADD.format(chosen=False, modules=MODULES), XDG_CONFIG_HOME=str(tmp_path / "config"), **session)
    rule, remedy, message = done.stdout.splitlines()[0].split(" | ")
    assert (rule, remedy) == ("policy-unreadable", "pip install 'hookframe[policy]'")
    assert f"{file}: reading a policy needs pydantic" in message


@pytest.mark.parametrize("kind", ["machine", "organisation"])
@pytest.mark.parametrize("chosen", [True, False])
def test_a_managed_policy_refuses_plugins_of_ones_own_choice_as_well(tmp_path, monkeypatch, kind, chosen):
    from hookframe.policy.files import layers
    from hookframe.policy.in_force.governing import governed_manager, managed_layers
    from hookframe.testing import TinyModel, fake_site

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv(PARENT, "none")  # restored, whatever a manager announces
    monkeypatch.setattr(layers, "machine_directory", lambda: tmp_path / "etc")
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with fake_site(tmp_path / "site") as site:
        if kind == "machine":
            (tmp_path / "etc").mkdir()
            (tmp_path / "etc" / "policy.toml").write_text("schema = 1\n")
        else:
            fake = site.normal("acme-policy", "", files={"policy.toml": "schema = 1\n"})
            (fake.info / "entry_points.txt").write_text("[hookframe.policy]\nacme = fake_acme_policy:policy.toml\n")
        managed_layers.cache_clear()
        with (
            hookframe.use_plugins(*(() if chosen else (governed_manager(),))),
            pytest.raises(HookDenied, match=r"pip install 'hookframe\[policy\]'"),
        ):
            TinyModel().add_hook("hook_embed", lambda tensor, hook: None)
    managed_layers.cache_clear()


def test_without_a_policy_everything_works_and_nothing_of_an_extra_is_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    script = ADD.format(chosen=False, modules=["pydantic", "tree_sitter", "tree_sitter_toml", "tomli_w"])
    assert run(script).stdout == "[]\n"
    open_process = subprocess.run(  # the extras can be imported here, where they are installed
        [sys.executable, "-c", "import sys\n" + script],
        env={**os.environ, PARENT: "none", "XDG_CONFIG_HOME": "/nowhere", "HOOKFRAME_PLUGINS": "none"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert open_process.stdout == "[]\n"


VERBS = """
import json
from click.testing import CliRunner
from hookframe.cli.main import cli
said = {}
for verb in json.loads(sys.argv[1]):
    done = CliRunner().invoke(cli, verb.split())
    said[verb] = f"{type(done.exception).__name__}: {done.exception} {done.output}"
print(json.dumps(said))
"""
NEEDS = {
    "policy check": "policy",
    "policy schema": "policy",
    "policy show": "policy",
    "plugins lock lock.toml": "policy",
    "can hookframe.toml": "policy",
    "doctor": "policy",
    "plugins new acme-checks": "testing",
}


def test_a_verb_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hookframe.toml").write_text("schema = 1\n")
    done = run(VERBS, json.dumps([*NEEDS]))
    for verb, said in json.loads(done.stdout).items():
        assert f"pip install 'hookframe[{NEEDS[verb]}]'" in said, verb
        assert said.startswith(("MissingExtra", "PolicyError", "SystemExit")), verb


def test_a_verb_that_needs_nothing_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    helped = ("can", "capture", "explain", "points", "policy check", "replay", "run", "run-plan", "scan")
    done = run(VERBS, json.dumps(["--help", "plugins list", "specs", "doctor", *(f"{verb} --help" for verb in helped)]))
    for verb, said in json.loads(done.stdout).items():
        assert said.startswith("NoneType"), (verb, said)


USES = """
import json
import hookframe, torch
from hookframe.testing.tiny_model import TinyModel
model, x = TinyModel(), torch.tensor([[1, 2]])
uses = {
    "policy": lambda: hookframe.HookPlan,
    "capture": lambda: model.run_with_cache(x)[1].save("here"),
    "capture ": lambda: model.capture("hook_embed").__enter__(),
}
for extra, use in uses.items():
    try:
        use()
    except hookframe.MissingExtra as error:
        assert error.command == f"pip install 'hookframe[{extra.strip()}]'"
        print(extra)
"""


def test_a_function_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    done = run(USES)
    assert done.stdout.split() == ["policy", "capture", "capture"], done.stderr
