"""What is public, and that importing it does nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import hookframe
from hookframe import errors

PACKAGE = Path(hookframe.__file__).parent


def test_every_public_name_is_there():
    assert [name for name in hookframe.__all__ if getattr(hookframe, name, None) is None] == []


def test_each_public_name_is_listed_once():
    assert len(hookframe.__all__) == len(set(hookframe.__all__))
    assert set(dir(hookframe)) == set(hookframe.__all__)


def test_a_name_that_is_not_there_says_so():
    with pytest.raises(AttributeError, match="has no attribute 'HookPiont'"):
        hookframe.HookPiont


def test_the_contract_names_are_public():
    names = (
        "HookPoint HookHandle LensHandle HookedRootModule HookIntrospectionMixin Slice SliceInput NamesFilter "
        "HookFunction DeviceType hookimpl"
    )
    assert set(names.split()) <= set(hookframe.__all__)
    assert hookframe.LensHandle is hookframe.HookHandle


def modules_after(code):
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import hookframe",
        "import hookframe.errors, hookframe.admission.decision, hookframe.admission.events",
        "from hookframe import HookDenied, HookRequest, Objection",
    ],
)
def test_values_need_neither_torch_nor_pluggy(code):
    assert not {"torch", "pluggy", "numpy", "rich", "click"} & modules_after(code)


@pytest.mark.parametrize(
    "code",
    [
        "from hookframe import hookimpl, PluginManager, use_plugins",
        "import runpy; sys.argv = ['hookframe', '--help']\n"
        "try: runpy.run_module('hookframe', run_name='__main__')\nexcept SystemExit: pass",
        "import runpy; sys.argv = ['hookframe', 'plugins', 'list']\n"
        "try: runpy.run_module('hookframe', run_name='__main__')\nexcept SystemExit: pass",
    ],
    ids=["host", "--help", "plugins list"],
)
def test_the_host_and_the_commands_need_no_torch_and_load_no_plugin(code):
    loaded = modules_after(code)
    assert not {"torch", "numpy"} & loaded
    assert not [name for name in loaded if name.startswith("hookframe_")]


def test_importing_torch_names_loads_no_plugin():
    loaded = modules_after("from hookframe import HookedRootModule, HookPoint\nHookPoint()")
    assert "torch" in loaded
    assert not {"pluggy", "importlib_metadata"} & loaded


def error_classes():
    return [
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if issubclass(value, (errors.HookframeError, errors.HookframeWarning))
    ]


def test_each_error_has_a_code_of_its_own_and_a_place_in_the_drawn_tree():
    codes = [kind.code for kind in error_classes() if kind is not errors.HookframeWarning]
    assert len(codes) == len(set(codes))
    for kind in error_classes():
        assert kind.__name__ in errors.__doc__
        assert kind.code == kind.code.lower().replace("_", "-")
        if kind.code != "hookframe":
            assert kind.code in errors.__doc__


def test_each_error_is_public():
    assert {kind.__name__ for kind in error_classes()} <= set(hookframe.__all__)
