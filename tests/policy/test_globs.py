"""Globs on dotted names: what fits, and how long it takes."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookframe.admission.globs import Glob
from tests.policy.oracle import glob_fits


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        ("hook_embed", ["hook_embed"], ["hook_embed.x", "x.hook_embed", "hook_embe", ""]),
        ("blocks.*.attn.hook_?", ["blocks.0.attn.hook_q", "blocks.11.attn.hook_k"], ["blocks.0.attn.hook_qq"]),
        ("blocks.*", ["blocks.0"], ["blocks", "blocks.0.mlp"]),
        ("**.hook_result", ["hook_result", "blocks.0.attn.hook_result"], ["hook_result.x", "ahook_result"]),
        ("blocks.**", ["blocks", "blocks.0", "blocks.0.mlp.hook_pre"], ["block", "x.blocks"]),
        ("**", ["", "a", "a.b.c"], []),
        ("**.**.a", ["a", "b.a", "c.b.a"], ["a.b"]),
        ("a.**.b.**.c", ["a.b.c", "a.x.b.y.z.c", "a.b.b.c.c"], ["a.c", "a.b", "a.c.b"]),
        ("blocks.[02].x", ["blocks.0.x", "blocks.2.x"], ["blocks.1.x", "blocks.02.x"]),
        ("blocks.[!02].x", ["blocks.1.x"], ["blocks.0.x", "blocks..x"]),
        ("Hook", ["Hook"], ["hook"]),
        ("a**b", ["ab", "a_b"], ["a.b"]),  # within a part it is two stars
    ],
)
def test_what_fits(pattern, fits, fails):
    glob = Glob(pattern)
    assert [name for name in fits if not glob.matches(name)] == []
    assert [name for name in fails if glob.matches(name)] == []


def test_globs_are_equal_by_their_pattern():
    assert Glob("a.*") == Glob("a.*") != Glob("a.?")
    assert Glob("a.*") != "a.*"
    assert {Glob("a.*"), Glob("a.*")} == {Glob("a.*")}
    assert repr(Glob("a.*")) == "Glob('a.*')"


def test_an_answer_is_the_same_the_second_time_and_after_many_others():
    glob = Glob("blocks.*.x")
    names = [f"blocks.{number}.{'xy'[number % 2]}" for number in range(10_000)]
    first = [glob.matches(name) for name in names]
    assert first == [glob.matches(name) for name in names] == [name.endswith("x") for name in names]


@given(pattern=st.text("ab*?.", max_size=9), name=st.text("ab.", max_size=9))
@example(pattern="**.a.**", name="b.a")
def test_the_same_as_by_trying_every_way(pattern, name):
    assert Glob(pattern).matches(name) == glob_fits(pattern, name)


@given(pattern=st.text(max_size=30) | st.text("[]!^-\\.*?a", max_size=12), name=st.text(max_size=30))
@example(pattern="[[a]", name="a")
@example(pattern="[a--b]", name="a")
@example(pattern="[a&&b]||~~", name="a")
@example(pattern="[", name="[")
def test_any_pattern_can_be_asked(pattern, name):
    assert Glob(pattern).matches(name) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 250, "a" * 500 + "b"),
        ("**." * 200 + "x", "a." * 200 + "y"),
        ("**.a." * 100 + "b", "a." * 400 + "c"),
        ("?*" * 200 + "z", "a" * 500),
        ("*?*?*?*?*?*?*?*?*?*?*?*?b", "a" * 500),
    ],
)
def test_matching_takes_bounded_time(pattern, name):
    start = time.process_time()
    assert not Glob(pattern).matches(name)
    assert time.process_time() - start < 1
