"""Where a function comes from: the digest of its code, and its distribution."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pluggy

from hookframe import FunctionInfo
from hookframe.admission.distributions import distribution_of, version_of
from hookframe.admission.functions import code_digest

SOURCE = """
    {comment}
    def hook(tensor, hook):
        names = {{"a", "b", "c", "d"}} & {{hook}}
        return (lambda x: x * {factor})(tensor) if "x" in {{"u", "v", "w", "x"}} else names
"""


def made(factor=2, comment="# one"):
    space = {}
    exec(textwrap.dedent(SOURCE.format(factor=factor, comment=comment)), space)  # noqa: S102  # our own text
    return space["hook"]


def test_the_digest_follows_the_code_and_not_its_place():
    assert code_digest(made()) == code_digest(made(comment="# two\n    # three"))
    assert code_digest(made()) != code_digest(made(factor=3))  # a constant of a function inside it


def test_the_digest_is_the_same_in_every_process(tmp_path):
    script = tmp_path / "digest.py"
    script.write_text(
        textwrap.dedent(SOURCE.format(factor=2, comment=""))
        + "\nfrom hookframe.admission.functions import code_digest\nprint(code_digest(hook))\n"
    )
    seeds = [
        subprocess.run(
            [sys.executable, script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert {seed.strip() for seed in seeds} == {code_digest(made())}


def test_objects_that_can_be_called_have_the_digest_of_their_call():
    class Hook:
        def __call__(self, tensor, hook):
            return tensor

    info = FunctionInfo.of(Hook())
    assert info.digest == code_digest(Hook.__call__)
    assert info.digest.startswith("sha256:")


def test_built_in_code_has_none():
    assert FunctionInfo.of(print).digest is None


def test_a_distribution_is_named_as_it_is_installed():
    assert distribution_of("importlib_metadata._meta") == "importlib-metadata"
    assert FunctionInfo(module="pluggy._hooks", qualname="f").distribution == "pluggy"
    for module in ("json.decoder", "__main__", "no_such_module_anywhere", "?"):
        assert distribution_of(module) is None


def test_a_version_is_that_of_the_installed_distribution():
    assert version_of("pluggy") == pluggy.__version__
    assert version_of("no-such-distribution-anywhere") is None


def test_a_function_that_wears_the_names_of_another_is_from_where_it_was_made():
    import functools

    worn = functools.wraps(pluggy.PluginManager)(lambda tensor, hook: tensor)
    info = FunctionInfo.of(worn)
    assert worn.__module__.startswith("pluggy")
    assert (info.module, info.distribution) == (__name__, None)
