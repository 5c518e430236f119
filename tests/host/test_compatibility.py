"""The plugin API: which range a plugin states, and what becomes of one that does not fit."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from hookframe import PluginManager
from hookframe.host.installed import api
from hookframe.host.installed.api import PLUGIN_API
from hookframe.host.installed.compatibility import stated_range, why_api_differs, why_hookframe_differs
from hookframe.testing.fake_installations import ABSTAINS

DISTRIBUTIONS = sorted((Path(__file__).parents[2] / "plugins").glob("*/pyproject.toml"))
PLUGINS = [file for file in DISTRIBUTIONS if "hookframe.plugins" in file.read_text()]  # a policy is none


def record(name="acme-rules"):
    return next(record for record in PluginManager.installed().records if record.distribution == name)


@pytest.mark.parametrize(
    ("keywords", "stated"),
    [
        (None, None),
        ("", None),
        ("hooks,torch", None),
        ("hookframe-plugin-api-tools", None),
        ("my-hookframe-plugin-api ~=1.0", None),
        ("hookframe-plugin-api ~=1.0", "~=1.0"),
        ("a,hookframe-plugin-api ~=1.0,b", "~=1.0"),
        ("a, hookframe-plugin-api >=1.0,<2, b", ">=1.0,<2"),
        ("a,hookframe-plugin-api >= 1.0 , != 1.3 , < 2,b", ">=1.0,!=1.3,<2"),
        ("HookFrame-Plugin-API==1.0", "==1.0"),
        ("hookframe-plugin-api ~=1.0,x,hookframe-plugin-api <1.5", "~=1.0,<1.5"),
        ("hookframe-plugin-api", ""),
        ("hookframe-plugin-api 1.0,x", ""),
    ],
)
def test_the_range_is_read_out_of_the_keywords(keywords, stated):
    assert stated_range(keywords) == stated


@given(
    clauses=st.lists(
        st.tuples(st.sampled_from(["~=", "==", "!=", "<=", ">=", "<", ">"]), st.sampled_from(["1.0", "2.5", "1.0.3"])),
        min_size=1,
        max_size=4,
    ),
    words=st.lists(st.sampled_from(["hooks", "torch", "hookframe", "a b"]), max_size=3),
)
def test_any_range_survives_among_other_keywords(clauses, words):
    stated = ",".join(operator + version for operator, version in clauses)
    assert SpecifierSet(stated_range(",".join([*words, f"hookframe-plugin-api {stated}", *words]))) == SpecifierSet(
        stated
    )


@pytest.mark.parametrize("api_range", [">=2,<3", "~=2.0", "<1", "==1.*,!=1.0"])
def test_a_plugin_for_another_api_is_incompatible_and_not_imported(api_range, site):
    site.wrong_api("acme-rules", api_range, "raise SystemExit('imported')")
    assert (record().state, record().step) == ("incompatible", "plugin-api")
    assert f"it supports plugin API {api_range}, and this hookframe has {PLUGIN_API}" in record().reason


def test_a_range_that_cannot_be_read_is_incompatible(site):
    site.normal("acme-rules", "raise SystemExit('imported')", keywords="hookframe-plugin-api ~=one")
    assert record().state == "incompatible"
    assert "is not followed by a range of versions" in record().reason


@pytest.mark.parametrize("api_range", ["~=1.0", ">=1.0,<2"])
def test_a_plugin_for_this_api_loads_without_a_note(api_range, site):
    site.wrong_api("acme-rules", api_range, ABSTAINS)
    assert (record().state, record().reason) == ("loaded", "installed and imported")


def test_a_plugin_that_states_no_range_is_taken_and_it_is_said(site):
    site.normal("acme-rules", ABSTAINS, keywords=None)
    assert record().state == "loaded"
    assert "states no range of plugin API versions" in record().reason


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("hookframe>=99", "it requires 'hookframe>=99'"),
        ("HookFrame (>=99)", "it requires 'HookFrame (>=99)'"),
        ("hookframe >< 1", "cannot be read"),
    ],
)
def test_a_plugin_for_another_hookframe_is_incompatible_and_not_imported(requirement, reason, site):
    site.normal("acme-rules", "raise SystemExit('imported')", requires=(requirement,))
    assert (record().state, record().step) == ("incompatible", "requirement")
    assert reason in record().reason


@pytest.mark.parametrize(
    "requirement", ["hookframe", "hookframe>=0.1", "hookframe>=99; extra == 'x'", "hookframe>=99; python_version < '3'"]
)
def test_a_requirement_that_is_fulfilled_or_does_not_apply_is_none(requirement):
    assert why_hookframe_differs([requirement]) is None


def test_a_pre_release_of_the_api_would_be_judged_as_any_version(monkeypatch):
    monkeypatch.setattr("hookframe.host.installed.compatibility.PLUGIN_API", "1.1rc1")
    assert why_api_differs("~=1.0") is None


def test_the_file_of_the_api_version_says_that_alone():
    assert api.__all__ == ["PLUGIN_API"]


@pytest.mark.parametrize("file", PLUGINS, ids=lambda file: file.parent.name)
def test_first_party_plugins_state_a_range_that_fits(file):
    keywords = tomllib.loads(file.read_text())["project"]["keywords"]
    stated = stated_range(",".join(keywords))
    assert stated is not None
    assert why_api_differs(stated) is None
